#include "engine/io/event_file.h"
#include <engine/io/event.pb.h>
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <fstream>

namespace kinema::engine::io {

namespace fs = std::filesystem;

namespace {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

constexpr std::array<uint32_t, 256> crc_table = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0x82F63B78u : 0);
    table[i] = c;
  }
  return table;
}();

uint32_t masked(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return std::rotr(crc, 15) + 0xa282ead8u;
}

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

double wall_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

/// The seconds now, but not before those in the names of files already there, and a number.
std::string next_name(const fs::path& folder) {
  const std::string prefix = EventFile::prefix;
  auto seconds = int64_t(wall_time());
  int number = 0;
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  check(!error, "events: cannot read ", folder, ": ", error.message());
  for (const fs::directory_entry& e : entries) {
    const std::string name = e.path().filename().string();
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    ++number;
    seconds = std::max(seconds, int64_t(std::atoll(name.c_str() + prefix.size())));
  }
  return fmt::format("{}{:010}.{:04}.kinema", prefix, seconds, number);
}

/// Upper ends of the buckets: 1e-12 * 1.1^i up to 1e20, mirrored, and the largest double.
const std::vector<double>& bucket_limits() {
  static const std::vector<double> limits = [] {
    std::vector<double> all;
    for (double v = 1e-12; v < 1e20; v *= 1.1) all.push_back(v);
    std::vector<double> both;
    for (size_t i = all.size(); i-- > 0;) both.push_back(-all[i]);
    both.push_back(0);
    both.insert(both.end(), all.begin(), all.end());
    both.push_back(std::numeric_limits<double>::max());
    return both;
  }();
  return limits;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (char b : bytes) crc = crc_table[(crc ^ uint8_t(b)) & 255] ^ (crc >> 8);
  return ~crc;
}

struct EventFile::State {
  std::ofstream out;
  fs::path path;

  void write(events::Event& event) {
    event.set_wall_time(wall_time());
    const std::string data = event.SerializeAsString();
    const uint64_t length = data.size();
    const uint32_t of_length = masked(bytes_of(length)), of_data = masked(data);
    out << bytes_of(length) << bytes_of(of_length) << data << bytes_of(of_data) << std::flush;
    check(bool(out), "events: cannot write ", path, "; the disk may be full");
  }
};

EventFile::EventFile(const fs::path& folder, int64_t first_step)
    : path_(folder / next_name(folder)), state_(new State) {
  state_->path = path_;
  state_->out.open(path_, std::ios::binary | std::ios::trunc);
  check(bool(state_->out), "events: cannot write ", path_);
  events::Event event;
  event.set_file_version("brain.Event:2");
  state_->write(event);
  event.set_step(first_step);
  event.mutable_session_log()->set_status(events::SessionLog::START);
  state_->write(event);
}

EventFile::~EventFile() = default;

void EventFile::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  events::Event event;
  event.set_step(step);
  for (const auto& [tag, number] : values) {
    if (std::isnan(number)) continue;
    events::Value* v = event.mutable_summary()->add_value();
    v->set_tag(tag);
    v->set_simple_value(float(number));
  }
  state_->write(event);
}

void EventFile::histogram(int64_t step, const std::string& tag, const Tensor& values) {
  const std::vector<double>& limits = bucket_limits();
  std::vector<double> counts(limits.size());
  events::Event event;
  event.set_step(step);
  events::Value* value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  events::Histogram& h = *value->mutable_histo();
  double least = INFINITY, most = -INFINITY, number = 0, sum = 0, squares = 0;
  for (const double v : to_vector<float>(values)) {
    if (!std::isfinite(v)) continue;
    const auto at = std::lower_bound(limits.begin(), limits.end(), v);
    ++counts[size_t(at - limits.begin())];
    least = std::min(least, v);
    most = std::max(most, v);
    number += 1;
    sum += v;
    squares += v * v;
  }
  if (number == 0) return;
  h.set_min(least);
  h.set_max(most);
  h.set_num(number);
  h.set_sum(sum);
  h.set_sum_squares(squares);
  // Runs of empty buckets become one.
  for (size_t i = 0; i < limits.size(); ++i) {
    const bool last = i + 1 == limits.size();
    if (counts[i] == 0 && !last && counts[i + 1] == 0) continue;
    h.add_bucket_limit(limits[i]);
    h.add_bucket(counts[i]);
  }
  state_->write(event);
}

void EventFile::image(int64_t step, const std::string& tag, const std::string& png, int64_t height,
                      int64_t width) {
  events::Event event;
  event.set_step(step);
  events::Value* value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  events::Image& image = *value->mutable_image();
  image.set_height(int32_t(height));
  image.set_width(int32_t(width));
  image.set_colorspace(3);
  image.set_encoded_image_string(png);
  state_->write(event);
}

}  // namespace kinema::engine::io
