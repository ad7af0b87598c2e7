#pragma once
#include "engine/nn/module.h"
#include "engine/ops/copy.h"
#include "engine/ops/layer_norm.h"

namespace kinema::engine::nn {

/// engine::layer_norm of [...,channels] with its parameters, named as PyTorch names them: weight
/// (gamma, at first 1) and bias (beta, 0), f32 whatever the precision.
class LayerNorm : public Module {
 public:
  LayerNorm(Module* parent, const std::string& name, int64_t channels,
            const LayerNormOptions& options_ = {})
      : Module(parent, name),
        options(options_),
        weight(full({channels}, 1)),
        bias(full({channels}, 0)) {
    add_parameter("weight", weight);
    add_parameter("bias", bias);
  }
  Tensor forward(const Tensor& x) const {
    auto scope = enter();
    return layer_norm(x, weight, bias, options);
  }

  LayerNormOptions options;
  Tensor weight, bias;

 protected:
  void reset(uint64_t) override {
    fill(weight, 1);
    fill(bias, 0);
  }
};

}  // namespace kinema::engine::nn
