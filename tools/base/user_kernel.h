#pragma once
#include <memory>
#include <string>
#include "kernels/base/backend.h"

namespace kinema::tools {

/// A kernel file of the user's own, compiled and loaded.
///
/// It includes kernels/device/ and one contract, and defines that contract's constant as this
/// project's own files do, as far as it goes; passes that are left out are not compared:
///   const Lerp KERNELS_DEVICE(lerp) = {.towards = my_towards};
/// docs/my_scale.cu is an example.
class UserKernel {
 public:
  /// Compiles `file` for `where`: `emulated`, by the C++ compiler, or `cuda`, by nvcc. What the
  /// compiler says goes to stderr. Errors: no such file; no constant, or several; no compiler, or
  /// no headers of this project; a file that does not compile or load.
  UserKernel(const std::string& file, kernels::Backend where);
  ~UserKernel();
  UserKernel(const UserKernel&) = delete;
  UserKernel& operator=(const UserKernel&) = delete;

  /// Which contract it is written for: "lerp".
  const std::string& operation() const { return operation_; }
  const void* constant() const { return constant_; }

 private:
  std::string operation_;
  void* library_ = nullptr;
  const void* constant_ = nullptr;
};

/// The contract that a kernel file is written for, by its text.
std::string operation_of_kernel(const std::string& file);

}  // namespace kinema::tools
