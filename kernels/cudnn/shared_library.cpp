#include "kernels/cudnn/shared_library.h"
#include <dlfcn.h>
#include <link.h>
#include <cstdlib>
#include <filesystem>

namespace kinema::kernels::cudnn {

namespace fs = std::filesystem;

static std::vector<fs::path> folders_from(const std::string& list) {
  std::vector<fs::path> folders;
  std::istringstream text(list);
  for (std::string folder; std::getline(text, folder, ':');) {
    if (folder.empty()) continue;
    folders.emplace_back(folder);
    std::error_code ignored;
    for (const auto& inside : fs::directory_iterator(folder, ignored))
      folders.push_back(inside.path() / "lib");
  }
  return folders;
}

static std::string last_error() {
  const char* text = dlerror();
  return text ? text : "no reason is known";
}

SharedLibrary::SharedLibrary(const std::vector<std::string>& names, const std::string& folders,
                             const std::string& purpose) {
  // Local: two libraries of one process may each bring functions of one name.
  const auto open = [&](const std::string& name, const fs::path& file) {
    name_ = name;
    handle_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    return handle_ != nullptr;
  };
  for (const fs::path& folder : folders_from(folders))
    for (const std::string& name : names) {
      if (!fs::exists(folder / name)) continue;
      check(open(name, folder / name), purpose, ": expected to open ", folder / name,
            ", which KINEMA_CUDA_LIBRARIES names, got: ", last_error());
      return;
    }
  std::string reason;
  for (const std::string& name : names) {
    if (open(name, name)) return;
    reason = last_error();
    if (open(name, fs::path("/usr/local/cuda/lib64") / name)) return;
  }
  fail(purpose, ": ", names.front(), " cannot be opened (", reason,
       "); install it, or name its folder in KINEMA_CUDA_LIBRARIES");
}

void* SharedLibrary::symbol(const char* name) const {
  void* found = dlsym(handle_, name);
  check(found, name_, ": expected the function ", name, ", which ", path(),
        " does not have; install a newer version");
  return found;
}

std::string SharedLibrary::path() const {
  const link_map* map = nullptr;
  return dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 && map ? map->l_name : name_;
}

std::string library_folders() {
  const char* folders = std::getenv("KINEMA_CUDA_LIBRARIES");
  return folders ? folders : "";
}

}  // namespace kinema::kernels::cudnn
