#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include "engine/tensor.h"

namespace kinema::engine::io {

/// CRC-32C (Castagnoli: reflected polynomial 0x82F63B78) of `bytes`. Source: RFC 3720, B.4.
uint32_t crc32c(std::string_view bytes);

/// Appends to a TensorBoard event file: records of the TFRecord format, each an Event as in
/// event.proto. Every call hands its record to the system at once, so a crash costs nothing before.
/// A record is: u64 length, masked CRC of the length, the bytes, masked CRC of the bytes; masked:
/// ((crc >> 15) | (crc << 17)) + 0xa282ead8, all little-endian.
/// Source: github.com/tensorflow/tensorflow, tensorflow/core/lib/io/record_writer.h.
class EventFile {
 public:
  /// A new file in `folder`, named so that it sorts behind those that lie there: readers join the
  /// files of a folder. It begins with the mark of a session that starts at `first_step`: readers
  /// take the first one of a folder for the beginning, and at each later one forget what the files
  /// before hold of this step and later. Errors: a folder that cannot be written.
  EventFile(const std::filesystem::path& folder, int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// Numbers of one step by tag, as f32; those that are NaN are left out. Errors: a full disk.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  /// How the elements of `values`, f32, are spread: a line of buckets that widen by 1.1 each from
  /// 1e-12 on, both ways from 0, as TensorBoard's own writers use. Not finite ones are left out.
  void histogram(int64_t step, const std::string& tag, const Tensor& values);
  /// A PNG picture of this size.
  void image(int64_t step, const std::string& tag, const std::string& png, int64_t height,
             int64_t width);

  const std::filesystem::path& path() const { return path_; }
  /// Names of event files begin so.
  static constexpr const char* prefix = "events.out.tfevents.";

 private:
  struct State;
  std::filesystem::path path_;
  std::unique_ptr<State> state_;
};

}  // namespace kinema::engine::io
