#pragma once
#include <string>
#include "engine/tensor.h"

namespace kinema::engine {

/// The backend that serves `op` on `device`: what a BackendScope of this thread says, else `cpu`;
/// always `meta` on the meta device.
Backend backend_for(const char* op, Device device);

/// Chooses the backend of one operation, or of all (op = ""), on this thread while it lives.
class BackendScope {
 public:
  explicit BackendScope(Backend backend, std::string op = "");
  ~BackendScope();
  BackendScope(const BackendScope&) = delete;
  BackendScope& operator=(const BackendScope&) = delete;
};

}  // namespace kinema::engine
