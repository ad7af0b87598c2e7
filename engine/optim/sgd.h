#pragma once
#include "engine/ops/sgd.h"
#include "engine/optim/optimiser.h"
#include "engine/optim/stretch.h"

namespace kinema::engine::optim {

/// Stochastic gradient descent on all parameters of an arena, which must outlive it: one pass of
/// kernels/sgd (torch.optim.SGD's rule). A parameter without a gradient in a step is moved as if by
/// a gradient of 0: decay and momentum go on, where PyTorch would skip it.
class Sgd : public Optimiser {
 public:
  /// Without `decay_vectors` biases and the parameters of norms do not decay.
  /// Errors: kernels/sgd's.
  explicit Sgd(ParameterArena& arena, const SgdOptions& options = {}, bool decay_vectors = true);

  void apply() override;

  /// "steps" [1] i64, how many were done, and, with momentum, "momentum.<parameter>" of each.
  std::vector<std::pair<std::string, Tensor>> state() const override;
  const SgdOptions& options() const { return options_; }

 private:
  ParameterArena& arena_;
  SgdOptions options_;
  std::vector<Stretch> stretches_;
  Tensor velocity_;
};

}  // namespace kinema::engine::optim
