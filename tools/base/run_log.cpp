#include "tools/base/run_log.h"
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <thread>
#include "tools/base/resume.h"

namespace kinema::tools {

namespace {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

}  // namespace

std::string command_text() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string text;
  for (std::string argument; std::getline(in, argument, '\0');) {
    const bool plain = argument.find_first_of(" \t\n\"'\\$&;|<>()*?`") == argument.npos;
    text += text.empty() ? "" : " ";
    if (plain && !argument.empty()) {
      text += argument;
      continue;
    }
    text += '\'';
    for (char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    text += '\'';
  }
  return text;
}

std::string machine_text() {
  utsname system{};
  ::uname(&system);
  const double bytes = double(::sysconf(_SC_PHYS_PAGES)) * double(::sysconf(_SC_PAGESIZE));
  return fmt::format("{}, {} cores, {:.0f} GB, {} {}", processor(),
                     std::thread::hardware_concurrency(), bytes / 1e9, std::string(system.sysname),
                     std::string(system.release));
}

std::unique_ptr<engine::report::RunLog> record_of(const engine::report::RunLog::Run& run,
                                                  int64_t epochs) {
  engine::report::Status status;
  status.command = command_text();
  status.machine = machine_text();
  std::error_code ignored;
  status.folder = std::filesystem::current_path(ignored).string();
  status.epochs = epochs;
  return std::make_unique<engine::report::RunLog>(run, status, warn);
}

}  // namespace kinema::tools
