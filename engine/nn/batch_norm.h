#pragma once
#include "engine/nn/module.h"
#include "engine/ops/batch_norm.h"

namespace kinema::engine::nn {

/// engine::batch_norm with its weights, named as PyTorch names them: weight (gamma, at first 1),
/// bias (beta, 0), and the buffers running_mean (0) and running_var (1). Uses the statistics of the
/// batch while training(), else the running ones.
class BatchNorm : public Module {
 public:
  BatchNorm(Module* parent, const std::string& name, int64_t channels,
            const BatchNormOptions& options = {});
  Tensor forward(const Tensor& x, const BatchNormExtras& extras = {}) const;

  BatchNormOptions options;
  Tensor weight, bias, running_mean, running_var;

 protected:
  void reset(uint64_t seed) override;
};

}  // namespace kinema::engine::nn
