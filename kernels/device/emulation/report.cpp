#include <dlfcn.h>
#include <cstdio>
#include <filesystem>
#include "kernels/device/emulation/runtime.h"

namespace kinema::kernels::device::emulation {

// addr2line of binutils knows the lines; a fault ends the launch, so its price does not matter.
std::string source_line(uintptr_t code) {
  Dl_info file;
  if (!code || !dladdr(reinterpret_cast<void*>(code), &file) || !file.dli_fname) return "?";
  const std::string program = file.dli_fname[0] == '/'
                                  ? file.dli_fname
                                  : std::filesystem::read_symlink("/proc/self/exe").string();
  char command[4200], line[600];
  const auto offset = code - 1 - reinterpret_cast<uintptr_t>(file.dli_fbase);
  std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%zx 2>/dev/null", program.c_str(),
                size_t(offset));
  std::string found = "?";
  FILE* lines = popen(command, "r");
  if (!lines) return found;
  while (std::fgets(line, sizeof line, lines)) {
    std::string text(line);
    text.resize(text.find_first_of(" \n"));
    const bool wrapper = text.find("kernels/device/") != std::string::npos;
    found = text.substr(text.rfind('/') + 1);
    if (!wrapper) break;
  }
  pclose(lines);
  return found;
}

}  // namespace kinema::kernels::device::emulation
