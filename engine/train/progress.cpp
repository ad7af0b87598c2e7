#include "engine/train/progress.h"
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmath>
#include <fstream>
#include "engine/gpu.h"
#include "engine/memory.h"

namespace kinema::engine::train {

int64_t memory_held() {
  if (has_gpu()) return memory_use(Device::gpu).peak;
  std::ifstream statistics("/proc/self/statm");
  int64_t all = 0, resident = 0;
  if (statistics >> all >> resident) return resident * ::sysconf(_SC_PAGESIZE);
  return memory_use().live;
}

std::string clock_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-:--";
  const auto s = int64_t(std::llround(seconds));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

ProgressLine::ProgressLine(bool quiet, double plain_interval)
    : quiet_(quiet),
      terminal_(::isatty(STDERR_FILENO)),
      interval_(terminal_ ? 0.1 : plain_interval),
      last_(Clock::now()) {}

ProgressLine::~ProgressLine() { end(); }

bool ProgressLine::due() const {
  return !quiet_ && std::chrono::duration<double>(Clock::now() - last_).count() >= interval_;
}

void ProgressLine::show(const std::string& text) {
  if (quiet_) return;
  last_ = Clock::now();
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  // A line that wraps could not be overwritten.
  winsize window{};
  size_t columns = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
  if (columns < 20) columns = 80;
  std::fprintf(stderr, "\r\033[K%s", text.substr(0, columns - 1).c_str());
  std::fflush(stderr);
  open_ = true;
}

void ProgressLine::keep(const std::string& text) {
  show(text);
  end();
}

void ProgressLine::end() {
  if (open_) std::fputc('\n', stderr);
  open_ = false;
}

}  // namespace kinema::engine::train
