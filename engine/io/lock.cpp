#include "engine/io/lock.h"
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <string>
#include "kernels/base/error.h"

namespace kinema::engine::io {

FolderLock::FolderLock(const std::filesystem::path& folder) {
  file_ = ::open((folder / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  kernels::check(file_ >= 0, "run: cannot write to the folder ", folder, ": ",
                 std::strerror(errno));
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = "";
    const int error = errno;
    if (::pread(file_, holder, sizeof holder - 1, 0) < 0) holder[0] = 0;
    ::close(file_);
    kernels::check(error == EWOULDBLOCK, "run: cannot lock the folder ", folder, ": ",
                   std::strerror(error));
    kernels::fail("run: process ", holder, " is at work in ", folder,
                  "; wait for its end, or stop it");
  }
  // The number is only for the refusal above: a disk without room for it is no reason to stop.
  const std::string self = std::to_string(::getpid());
  if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, self.data(), self.size(), 0) < 0) return;
}

FolderLock::~FolderLock() { ::close(file_); }

}  // namespace kinema::engine::io
