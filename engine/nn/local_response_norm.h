#pragma once
#include "engine/nn/module.h"
#include "engine/ops/local_response_norm.h"

namespace kinema::engine::nn {

/// engine::local_response_norm with its constants; no parameters.
class LocalResponseNorm : public Module {
 public:
  LocalResponseNorm(Module* parent, const std::string& name,
                    const LocalResponseNormOptions& options = {})
      : Module(parent, name), constants(options) {}
  Tensor forward(const Tensor& x) const {
    auto scope = enter();
    return local_response_norm(x, constants);
  }

  const LocalResponseNormOptions constants;
};

}  // namespace kinema::engine::nn
