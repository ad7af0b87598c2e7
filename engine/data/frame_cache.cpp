#include "engine/data/frame_cache.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cstring>
#include <exception>
#include <nlohmann/json.hpp>
#include <ostream>
#include "engine/data/video_index.h"
#include "engine/io/files.h"
#include "engine/io/fingerprint.h"

namespace kinema::engine::video {

namespace fs = std::filesystem;
using nlohmann::json;

/// A file in memory, as long as it lives.
struct CachedVideo::Mapping {
  void* data = nullptr;
  size_t bytes = 0;
  ~Mapping() {
    if (data) ::munmap(data, bytes);
  }

  explicit Mapping(const fs::path& path) {
    const int file = ::open(path.c_str(), O_RDONLY);
    struct stat s {};
    if (file < 0) return;
    if (::fstat(file, &s) == 0 && s.st_size > 0) {
      void* at = ::mmap(nullptr, size_t(s.st_size), PROT_READ, MAP_SHARED, file, 0);
      if (at != MAP_FAILED) data = at, bytes = size_t(s.st_size);
    }
    ::close(file);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

namespace {

/// The name of every state's file of one video under one resize begins so.
std::string prefix_of(const std::string& name, const Recipe& r) {
  io::Fingerprint f;
  f.add(name);
  f.add(r.short_side);
  f.add(r.height);
  f.add(r.width);
  return f.hex() + "-";
}

/// The safetensors header: 8 bytes of length, then JSON.
std::string header_of(const std::string& name, int64_t frames, FrameSize size) {
  const int64_t bytes = frames * size.height * size.width * 3;
  json video = json::object();
  video["frames"] = {{"dtype", "U8"},
                     {"shape", {1, frames, size.height, size.width, 3}},
                     {"data_offsets", {0, bytes}}};
  video["__metadata__"] = {{"video", name}};
  std::string text = video.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize(size_t(kernels::round_up(int64_t(text.size()), 8)), ' ');
  const uint64_t length = text.size();
  std::string head(sizeof length, '\0');
  std::memcpy(head.data(), &length, sizeof length);
  return head + text;
}

/// The frames that a mapped file holds; a default View where it is not whole.
View frames_in(const char* data, size_t bytes) {
  uint64_t length = 0;
  if (bytes < sizeof length) return {};
  std::memcpy(&length, data, sizeof length);
  if (length > bytes - sizeof length) return {};
  const char* text = data + sizeof length;
  const json head = json::parse(text, text + length, nullptr, false);
  const json shape = head.is_object() ? head.value("/frames/shape"_json_pointer, json()) : json();
  if (!shape.is_array() || shape.size() != 5) return {};
  View v{.data = const_cast<char*>(text + length), .dtype = Dtype::u8};
  v.shape = {0, 0, 0, 0, 0};
  for (int axis = 0; axis < 5; ++axis) {
    const json& size = shape[size_t(axis)];
    if (!size.is_number_unsigned() || size > (1 << 24) || size < 1) return {};
    v.shape[axis] = size.get<int64_t>();
  }
  int64_t stride = 1;
  for (int axis = 4; axis >= 0; --axis) {
    v.strides[size_t(axis)] = stride;
    if (__builtin_mul_overflow(stride, v.shape[axis], &stride)) return {};
  }
  const bool whole = uint64_t(stride) == bytes - sizeof length - length;
  return whole && v.shape[0] == 1 && v.shape[4] == 3 ? v : View{};
}

}  // namespace

FrameCache::FrameCache(fs::path folder, Warn warn)
    : folder_(std::move(folder)), warn_(std::move(warn)) {
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (failed) stop_writing(failed.message());
}

void FrameCache::stop_writing(const std::string& why) {
  if (!writes_.exchange(false)) return;
  const std::lock_guard lock(mutex_);
  warn_("no more frames are kept in " + folder_.string() + ": " + why);
}

fs::path FrameCache::file_of(const std::string& name, const std::string& path,
                             const Recipe& recipe) const {
  const std::string prefix = prefix_of(name, recipe);
  if (const std::optional<FileStamp> s = stamp_of(path))
    return folder_ /
           (prefix + std::to_string(s->bytes) + "-" + std::to_string(s->modified) + ".safetensors");
  return any_state(prefix, name, path);
}

/// The file of a video that is not there; empty if there is none. The folder is listed once, and
/// again for what was not in it: a list a video would make an epoch quadratic.
fs::path FrameCache::any_state(const std::string& prefix, const std::string& name,
                               const std::string& path) const {
  const std::lock_guard lock(mutex_);
  if (!listed_.count(prefix)) {
    listed_.clear();
    std::error_code failed;
    for (fs::directory_iterator it(folder_, failed), end; !failed && it != end;
         it.increment(failed)) {
      const std::string entry = it->path().filename().string();
      const size_t dash = entry.find('-');
      if (dash != std::string::npos && entry.ends_with(".safetensors"))
        listed_[entry.substr(0, dash + 1)].push_back(it->path());
    }
  }
  const auto found = listed_.find(prefix);
  if (found == listed_.end()) return {};
  const std::vector<fs::path>& files = found->second;
  check(files.size() == 1, "data: ", folder_.string(), " keeps frames of several states of ", name,
        " (", files[0].filename().string(), ", ", files.back().filename().string(), "), and ", path,
        " is not there to tell which; remove the older");
  return files[0];
}

std::shared_ptr<const CachedVideo> FrameCache::find(const std::string& name,
                                                    const std::string& path,
                                                    const Recipe& recipe) const {
  const fs::path file = file_of(name, path, recipe);
  if (file.empty()) return nullptr;
  const auto mapping = std::make_shared<const CachedVideo::Mapping>(file);
  if (!mapping->data) return nullptr;
  const View frames = frames_in(static_cast<const char*>(mapping->data), mapping->bytes);
  if (!frames) return nullptr;
  CachedVideo video;
  video.mapping_ = mapping;
  video.all_ = frames;
  return std::make_shared<const CachedVideo>(std::move(video));
}

bool FrameCache::keep(const std::string& name, const std::string& path, const Recipe& recipe,
                      int64_t frames, FrameSize size,
                      const std::function<void(const Take&)>& fill) {
  if (!writes_) return false;
  const fs::path file = stamp_of(path) ? file_of(name, path, recipe)
                                       : folder_ / (prefix_of(name, recipe) + "made.safetensors");
  std::exception_ptr thrown;  // by fill: not a matter of the disk
  try {
    io::write_whole(file, [&](std::ostream& out) {
      const std::string head = header_of(name, frames, size);
      out.write(head.data(), std::streamsize(head.size()));
      const auto take = [&](const View& frame) {
        for (int64_t y = 0; y < size.height; ++y)
          out.write(reinterpret_cast<const char*>(kernels::data<const uint8_t>(frame) +
                                                  y * frame.stride(2)),
                    3 * size.width);
      };
      try {
        fill(take);
      } catch (...) {
        thrown = std::current_exception();
        throw;
      }
    });
    return true;
  } catch (const std::exception& e) {
    if (thrown) std::rethrow_exception(thrown);
    stop_writing(e.what());
    return false;
  }
}

}  // namespace kinema::engine::video
