#pragma once
#include "engine/nn/module.h"
#include "engine/ops/linear.h"

namespace kinema::engine::nn {

/// Fully connected layer with weights [out,in]; see engine::linear. Initial weights: He normal
/// where the layer ends in a ReLU, else Xavier uniform (init.h); bias 0.
class Linear : public Module {
 public:
  struct Config {
    int64_t in = 0, out = 0;
    bool bias = true;
    bool relu = false;  ///< the layer ends in a ReLU, in the same pass
  };
  Linear(Module* parent, const std::string& name, const Config& config);
  Linear(Module* parent, const std::string& name, int64_t in, int64_t out, bool bias = true)
      : Linear(parent, name, Config{.in = in, .out = out, .bias = bias}) {}

  /// x [...,in] -> [...,out]
  Tensor forward(const Tensor& x) const;

  bool relu;
  Tensor weight, bias;
  Tensor working_weight;  ///< read in place of weight while precision() is narrow

 protected:
  void reset(uint64_t seed) override;
};

}  // namespace kinema::engine::nn
