#pragma once
#include <string>
#include <vector>
#include "kernels/base/error.h"

namespace kinema::kernels::cudnn {

/// A library that is opened when it is first asked for, so that the same program runs where it is
/// missing. It stays open until the process ends: closing one that holds a CUDA context is not
/// supported.
class SharedLibrary {
 public:
  /// The first that opens of `names`: in each of `folders`, separated by colons, and in each folder
  /// */lib of them, as pip's packages lie (site-packages/nvidia); then wherever the system looks,
  /// LD_LIBRARY_PATH included; last in /usr/local/cuda/lib64.
  /// Errors: none opens: `purpose` says what it is needed for; one that the folders have, but which
  /// cannot be opened.
  SharedLibrary(const std::vector<std::string>& names, const std::string& folders,
                const std::string& purpose);

  /// Sets `function` to what the library calls `name`. Errors: it has no such function.
  template <class F>
  void find(const char* name, F*& function) const {
    function = reinterpret_cast<F*>(symbol(name));
  }
  /// Of its file.
  std::string path() const;

 private:
  void* symbol(const char* name) const;
  std::string name_;
  void* handle_ = nullptr;
};

/// The folders that KINEMA_CUDA_LIBRARIES names.
std::string library_folders();

}  // namespace kinema::kernels::cudnn
