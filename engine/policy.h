#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include "engine/tensor.h"

namespace kinema::engine {

/// Which backend serves which operation ("" for all; the last that fits decides). A choice counts
/// on the device that its backend runs on: reference and cpu on the CPU, cuda, cudnn and emulated
/// on the GPU. Null: the device's own. The tape keeps it with each result, so that a rule runs
/// where its forward ran.
using Policy = std::shared_ptr<const std::vector<std::pair<std::string, Backend>>>;

/// This thread's policy.
Policy current_policy();

/// Who serves an operation.
struct Choice {
  Backend first;
  /// Serves what `first` does not have; `first` itself where the policy names this very operation.
  Backend otherwise;
};
/// That for `op` on `device` by this thread's policy, else the device's own backend: cpu, what
/// use_gpu() was given, meta.
/// Errors: a choice for `op` that the GPU in use cannot run.
Choice choice_for(const char* op, Device device);

/// Sets this thread's policy while it lives.
class PolicyScope {
 public:
  explicit PolicyScope(Policy policy);
  ~PolicyScope();
  PolicyScope(const PolicyScope&) = delete;
  PolicyScope& operator=(const PolicyScope&) = delete;

 private:
  Policy before_;
};

/// Chooses the backend of one operation, or of all (op = ""), on this thread while it lives. What
/// a backend chosen for all does not have the device's own serves (engine/served.h).
class BackendScope : public PolicyScope {
 public:
  explicit BackendScope(Backend backend, const std::string& op = "");
};

}  // namespace kinema::engine
