#pragma once
#include <filesystem>

namespace kinema::engine::io {

/// Holds a folder for one process: an advisory lock (flock) on FOLDER/.lock, which the system lets
/// go of when the process ends, however it ends. The file stays; it holds the process's number.
class FolderLock {
 public:
  /// Errors: another process holds it (named by its number); the folder cannot be written to.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  static constexpr const char* name = ".lock";

 private:
  int file_ = -1;
};

}  // namespace kinema::engine::io
