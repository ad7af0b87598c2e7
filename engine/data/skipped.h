#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace kinema::engine::video {

/// A file that cannot be read, and why.
struct SkippedFile {
  std::string path, reason;
  bool operator==(const SkippedFile&) const = default;
};

/// The files that the loaders of a run left out. To be used by one thread at a time.
class SkippedFiles {
 public:
  using Warn = std::function<void(const std::string& sentence)>;

  /// The largest share of a data set that may be left out.
  static constexpr double most = 0.05;

  /// The list goes to the file `csv`: its first line is file,reason. Without one, `warn` hears of
  /// each file; with one, of the first alone.
  explicit SkippedFiles(Warn warn, std::filesystem::path csv = {});

  /// Notes `found`, new files of a data set of `samples`, of which `left_out` are left out by now.
  /// Errors: these are more than `most` of the set; the text names the first ten of all files, and
  /// where there are more the list, which is written then even if its folder must be made.
  void add(const std::vector<SkippedFile>& found, int64_t left_out, int64_t samples);

  /// In the order in which they were found, each once.
  const std::vector<SkippedFile>& files() const { return files_; }

  /// Writes the list, if there is something to write and its folder exists: add() does the same.
  void write() const;

 private:
  [[noreturn]] void refuse(int64_t left_out, int64_t samples) const;

  Warn warn_;
  std::filesystem::path csv_;
  std::vector<SkippedFile> files_;
  std::set<std::string> known_;
};

}  // namespace kinema::engine::video
