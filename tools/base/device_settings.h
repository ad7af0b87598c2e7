#pragma once
#include <memory>
#include <string>
#include <vector>
#include "tools/base/options.h"

namespace kinema::tools {

/// Where this thread computes, and by which kernels, while it lives.
class Compute {
 public:
  Compute() = default;
  Compute(Compute&&) = default;
  Compute& operator=(Compute&&) = delete;
  ~Compute();

  bool on_gpu = false;       ///< or on its emulation
  std::string device;        ///< for the record of a run: "cpu", "NVIDIA H200, cuda"
  std::string conv3d_plans;  ///< likewise: the lines of the file of plans, where there is one
  std::string remark;  ///< for the user: "on NVIDIA H200", "on the CPU (no NVIDIA driver ...)"

  /// Keeps a scope open until this ends; scopes end in the reverse order.
  template <class Scope, class... Args>
  void open(Args&&... args) {
    scopes_.push_back(std::make_shared<Scope>(std::forward<Args>(args)...));
  }

 private:
  std::vector<std::shared_ptr<void>> scopes_;
};

/// Options that subcommands share: where a network computes, and by which kernels.
struct DeviceSettings {
  std::string device = "auto", backend, conv3d_plans;

  void declare(Options& options);
  /// Takes the device into use. `tf32`: products of f32 may be TF32.
  /// Errors: no such device, with what is missing; a UsageError for names that are none and for
  /// what does not go together.
  Compute enter(bool tf32 = false) const;
};

/// Why no GPU can be used, as "no NVIDIA driver is installed ..."; empty if one can.
std::string missing_gpu();

}  // namespace kinema::tools
