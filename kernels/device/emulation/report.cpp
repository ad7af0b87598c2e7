#include <dlfcn.h>
#include <cstdio>
#include <filesystem>
#include <map>
#include "kernels/device/emulation/runtime.h"
#ifdef KINEMA_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace kinema::kernels::device::emulation {

namespace {

/// "file.cu:12" of an address, then those of what it is inlined into; and the one to show.
struct Lines {
  std::vector<std::string> all;
  std::string shown = "?";
};

void show(Lines& lines) {
  for (const std::string& line : lines.all) {
    lines.shown = line.substr(line.rfind('/') + 1);
    if (line.find("kernels/device/") == std::string::npos) return;
  }
}

const Lines& lines_of(uintptr_t code) {
  static thread_local std::map<uintptr_t, Lines> known;
  const auto [place, is_new] = known.try_emplace(code);
  Lines& found = place->second;
  Dl_info file;
  if (!is_new || !code || !dladdr(reinterpret_cast<void*>(code), &file)) return found;
  const std::string program = file.dli_fname[0] == '/'
                                  ? file.dli_fname
                                  : std::filesystem::read_symlink("/proc/self/exe").string();
  const auto offset = code - 1 - reinterpret_cast<uintptr_t>(file.dli_fbase);
  char command[4200], line[600];
  // addr2line of binutils takes time, and few programs ever ask.
  std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%zx 2>/dev/null", program.c_str(),
                size_t(offset));
  FILE* lines = popen(command, "r");
  if (!lines) return found;
  while (std::fgets(line, sizeof line, lines)) {
    const std::string text(line);
    found.all.push_back(text.substr(0, text.find_first_of(" \n")));
  }
  pclose(lines);
  show(found);
  return found;
}

}  // namespace

const char* source_line(uintptr_t code) { return lines_of(code).shown.c_str(); }

bool same_line(uintptr_t a, uintptr_t b) { return a == b || lines_of(a).all == lines_of(b).all; }

std::string place_of(const Fiber& f) {
  const uint3 b = f.block->index, t = f.thread;
  char text[160];
  std::snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u)", b.x, b.y, b.z, t.x, t.y,
                t.z);
  return text;
}

void announce_at_death() {
#ifdef KINEMA_ASAN
  static const auto announce = [] {
    if (here)
      std::fprintf(stderr, "emulation: in kernel %s, %s\n", worker->launch->name,
                   place_of(*current()).c_str());
  };
  __sanitizer_set_death_callback(announce);
  // GCC's UBSan is a library of its own, with a function of that name that ASan's one hides.
  if (void* ubsan = dlopen("libubsan.so.1", RTLD_LAZY | RTLD_NOLOAD))
    if (void* set = dlsym(ubsan, "__sanitizer_set_death_callback"))
      reinterpret_cast<void (*)(void (*)())>(set)([] {
        if (!here) return;
        __sanitizer_print_stack_trace();
        announce();
      });
#endif
}

}  // namespace kinema::kernels::device::emulation
