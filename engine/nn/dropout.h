#pragma once
#include "engine/nn/module.h"
#include "engine/ops/pointwise.h"

namespace kinema::engine::nn {

/// Drops each element with probability p in training; in evaluation x itself. See engine::dropout.
class Dropout : public Module {
 public:
  Dropout(Module* parent, const std::string& name, double probability)
      : Module(parent, name), p(probability) {
    check(p >= 0 && p <= 1, "dropout: p must be in [0,1], got ", p);
  }
  Tensor forward(const Tensor& x) const {
    auto scope = enter();
    return training() ? engine::dropout(x, p) : x;
  }

  const double p;
};

}  // namespace kinema::engine::nn
