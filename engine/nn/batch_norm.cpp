#include "engine/nn/batch_norm.h"
#include "engine/ops/copy.h"

namespace kinema::engine::nn {

BatchNorm::BatchNorm(Module* parent, const std::string& name, int64_t channels,
                     const BatchNormOptions& options_)
    : Module(parent, name), options(options_) {
  weight = empty({channels});
  bias = empty({channels});
  running_mean = empty({channels});
  running_var = empty({channels});
  add_parameter("weight", weight);
  add_parameter("bias", bias);
  add_buffer("running_mean", running_mean);
  add_buffer("running_var", running_var);
  BatchNorm::reset(0);
}

Tensor BatchNorm::forward(const Tensor& x, const BatchNormExtras& extras) const {
  auto scope = enter();
  return batch_norm(x, {weight, bias, running_mean, running_var}, training(), options, extras);
}

void BatchNorm::reset(uint64_t) {
  fill(weight, 1);
  fill(bias, 0);
  fill(running_mean, 0);
  fill(running_var, 1);
}

}  // namespace kinema::engine::nn
