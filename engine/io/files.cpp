#include "engine/io/files.h"
#include <fcntl.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include "kernels/base/error.h"

namespace kinema::engine::io {

using kernels::check, kernels::fail;

namespace {

/// Removes a temporary file unless it became the real one.
struct Temporary {
  std::filesystem::path path;
  bool kept = false;
  ~Temporary() {
    std::error_code ignored;
    if (!kept) std::filesystem::remove(path, ignored);
  }
};

/// Waits until what the system holds of `path` (a file or a folder) is on disk.
bool flush_to_disk(const std::filesystem::path& path, int flags) {
  const int file = ::open(path.c_str(), flags);
  if (file < 0) return false;
  const bool done = ::fsync(file) == 0;
  ::close(file);
  return done;
}

}  // namespace

void write_whole(const std::filesystem::path& path,
                 const std::function<void(std::ostream&)>& write) {
  std::filesystem::path folder = path.parent_path();
  if (folder.empty()) folder = ".";
  static std::atomic<int64_t> count = 0;  // two threads may replace one file
  const std::string name = path.filename().string() + "." + std::to_string(::getpid()) + "-" +
                           std::to_string(count++) + ".tmp";
  Temporary temporary{folder / name};
  errno = 0;
  std::ofstream out(temporary.path, std::ios::binary | std::ios::trunc);
  check(bool(out), "write: cannot create a file in ", folder, ": ", std::strerror(errno));
  write(out);
  out.close();
  check(bool(out) && flush_to_disk(temporary.path, O_RDONLY), "write: could not write ", path, ": ",
        std::strerror(errno));
  std::error_code error;
  std::filesystem::rename(temporary.path, path, error);
  check(!error, "write: could not replace ", path, ": ", error.message());
  temporary.kept = true;
  // The rename itself lies in the folder. Some file systems refuse this; the data is safe already.
  flush_to_disk(folder, O_RDONLY | O_DIRECTORY);
}

nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(bool(in) && !std::filesystem::is_directory(path), "json: cannot open ", path);
  try {
    return nlohmann::json::parse(in);
  } catch (const nlohmann::json::exception& e) {
    // Behind the library's own "[json.exception.NAME] ".
    const std::string text = e.what();
    fail("json: ", path, " is not valid JSON: ", text.substr(text.find("] ") + 2));
  }
}

void write_json(const std::filesystem::path& path, const nlohmann::json& value) {
  write_whole(path, [&](std::ostream& out) { out << value.dump(2) << '\n'; });
}

}  // namespace kinema::engine::io
