#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include "engine/tensor.h"

namespace kinema::engine {

/// Which backend serves which operation ("" for all; the last that fits decides). Null: the
/// device's own. The tape keeps it with each result, so that a rule runs where its forward ran.
using Policy = std::shared_ptr<const std::vector<std::pair<std::string, Backend>>>;

/// This thread's policy.
Policy current_policy();

/// The backend that serves `op` on `device` by this thread's policy, else `cpu`; always `meta` on
/// the meta device.
Backend backend_for(const char* op, Device device);

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

/// Chooses the backend of one operation, or of all (op = ""), on this thread while it lives.
class BackendScope : public PolicyScope {
 public:
  explicit BackendScope(Backend backend, const std::string& op = "");
};

}  // namespace kinema::engine
