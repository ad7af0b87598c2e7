#pragma once
#include "engine/ops/adamw.h"
#include "engine/optim/optimiser.h"
#include "engine/optim/stretch.h"

namespace kinema::engine::optim {

/// Adam with decoupled weight decay on all parameters of an arena, which must outlive it:
/// kernels/adamw (torch.optim.AdamW's rule). A parameter without a gradient in a step is moved as
/// if by a gradient of 0, where PyTorch would skip it.
class AdamW : public Optimiser {
 public:
  /// Without `decay_vectors` biases and the parameters of norms do not decay.
  /// Errors: kernels/adamw's.
  explicit AdamW(ParameterArena& arena, const AdamWOptions& options = {},
                 bool decay_vectors = true);

  void apply() override;

  /// "steps" [1] i64, how many were done, and "first_moment.<parameter>" and
  /// "second_moment.<parameter>" of each.
  std::vector<std::pair<std::string, Tensor>> state() const override;
  const AdamWOptions& options() const { return options_; }

 private:
  ParameterArena& arena_;
  AdamWOptions options_;
  std::vector<Stretch> stretches_;
  Tensor first_, second_;
};

}  // namespace kinema::engine::optim
