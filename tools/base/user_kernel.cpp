#include "tools/base/user_kernel.h"
#include <dlfcn.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>
#include "kernels/base/runtime.h"

extern char** environ;

namespace kinema::tools {

namespace {

namespace fs = std::filesystem;
using kernels::Backend, kernels::check;

/// A folder that is gone with this.
struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "kinema-kernel-XXXXXX").string();
    check(::mkdtemp(name.data()), "compare: cannot make a folder in ",
          fs::temp_directory_path().string());
    path = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  fs::path path;
};

/// Where kernels/device/ lies: the current folder, or where this program was built from.
fs::path headers() {
  for (const fs::path& folder : {fs::current_path(), fs::path(KINEMA_SOURCE)})
    if (fs::exists(folder / "kernels/device/device.h")) return folder;
  kernels::fail(
      "compare: --kernel needs this project's kernels/ folder, and neither the current "
      "folder nor ",
      KINEMA_SOURCE, " has it");
}

/// What launches kernels lies in no program's table of symbols: the emulation would else meet that
/// of the program's own kernels.
constexpr const char* own_copies =
    "#include \"kernels/device/launch.cu\"\n#include \"kernels/device/tensor_map.cu\"\n";

/// Runs a program by its arguments; true if it ends well. What it says goes where ours does.
bool succeeds(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  check(::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ) == 0,
        "compare: --kernel needs a compiler, and ", command[0], " cannot be started");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::vector<std::string> host_command(const fs::path& from, const fs::path& to) {
  std::vector<std::string> command{KINEMA_CXX,
                                   "-std=c++20",
                                   "-O2",
                                   "-fPIC",
                                   "-shared",
                                   "-fvisibility=hidden",
                                   "-I" + headers().string()};
  std::istringstream flags(KINEMA_EMULATED_FLAGS);
  for (std::string flag; flags >> flag;) command.push_back(flag);
  command.insert(command.end(), {from.string(), "-o", to.string()});
  return command;
}

/// Launching is a part of it here too; the rest it finds in this program.
std::vector<std::string> device_command(const fs::path& from, const fs::path& to) {
  const int capability = kernels::runtime_cuda.gpu().compute_capability;
  // Instructions of Hopper alone, wgmma say, need the "a".
  const std::string architecture = std::to_string(capability) + (capability == 90 ? "a" : "");
  const fs::path device = headers() / "kernels/device";
  return {KINEMA_NVCC,
          "-std=c++20",
          "-O3",
          "--expt-relaxed-constexpr",
          fmt::format("-gencode=arch=compute_{0},code=sm_{0}", architecture),
          "-Xcompiler=-fPIC,-fvisibility=hidden,-Wno-unknown-pragmas",
          "-shared",
          "-I" + headers().string(),
          from.string(),
          (device / "launch.cu").string(),
          (device / "runtime.cu").string(),
          (device / "tensor_map.cu").string(),
          "-o",
          to.string()};
}

/// The names in "KERNELS_DEVICE(name) =", of any spacing.
std::set<std::string> constants_in(const std::string& text) {
  constexpr std::string_view macro = "KERNELS_DEVICE";
  std::set<std::string> names;
  for (size_t at = 0; (at = text.find(macro, at)) != std::string::npos;) {
    at += macro.size();
    const auto skip = [&] {
      while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
    };
    const auto sign = [&](char c) {
      skip();
      return at < text.size() && text[at] == c && ++at;
    };
    if (!sign('(')) continue;
    skip();
    const size_t begin = at;
    while (at < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_'))
      ++at;
    const std::string name = text.substr(begin, at - begin);
    if (sign(')') && sign('=')) names.insert(name);
  }
  return names;
}

}  // namespace

std::string operation_of_kernel(const std::string& file) {
  std::ifstream in(file);
  check(bool(in), "compare: --kernel: cannot read ", file);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string all = text.str();
  const std::set<std::string> names = constants_in(all);
  check(names.size() == 1, "compare: --kernel: expected one constant in ", file,
        ", as in `const Lerp KERNELS_DEVICE(lerp) = {...}`, got ", names.size());
  return *names.begin();
}

UserKernel::UserKernel(const std::string& file, Backend where)
    : operation_(operation_of_kernel(file)) {
  const bool cuda = where == Backend::cuda;
  const TemporaryFolder folder;
  const fs::path source = folder.path / (cuda ? "kernel.cu" : "kernel.cpp"),
                 library = folder.path / "kernel.so";
  std::ofstream(source) << (cuda ? "" : own_copies) << "#include \"" << fs::absolute(file).string()
                        << "\"\n"
                        << "extern \"C\" __attribute__((visibility(\"default\"))) "
                           "const void* const kinema_user_kernel = &kinema::kernels::"
                           "KERNELS_DEVICE("
                        << operation_ << ");\n";
  check(succeeds(cuda ? device_command(source, library) : host_command(source, library)),
        "compare: --kernel: ", file, " does not compile; what is wrong stands above");
  library_ = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  check(library_, "compare: --kernel: ", file, " cannot be loaded: ", library_ ? "" : ::dlerror());
  const void* const address = ::dlsym(library_, "kinema_user_kernel");
  constant_ = address ? *static_cast<const void* const*>(address) : nullptr;
  check(constant_, "compare: --kernel: ", file, " does not define the constant of ", operation_);
}

UserKernel::~UserKernel() {
  if (library_) ::dlclose(library_);
}

}  // namespace kinema::tools
