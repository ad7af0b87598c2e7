#pragma once
#include "engine/tensor.h"
#include "kernels/batch_norm/batch_norm_options.h"

namespace kinema::engine {

using kernels::BatchNormOptions;

/// What batch_norm does to each value before it is stored. A Tensor that is not given is left out.
struct BatchNormExtras {
  Tensor residual{};  ///< as y; added before the ReLU
  bool relu = false;
  Tensor out{};  ///< write here (a slice of channels, say) instead of into fresh memory
};

/// All [C], f32 (f64 beside f64). Gradients go to gamma and beta.
struct BatchNormWeights {
  Tensor gamma, beta;
  Tensor running_mean, running_var;  ///< updated in place in training
};

/// Differentiable batch normalisation of the last axis, kernels/batch_norm: x [...,C] -> as x, by
/// the statistics of x in `training`, else by the running ones. Gradients go to x, gamma, beta and
/// residual. The tape keeps x and four numbers a channel; y too where a residual meets a ReLU.
/// Errors: kernels/batch_norm's; running statistics that want a gradient.
Tensor batch_norm(const Tensor& x, const BatchNormWeights& weights, bool training,
                  const BatchNormOptions& options = {}, const BatchNormExtras& extras = {});

/// Mean and variance, divided by their number, of each channel of x [...,C], as training takes
/// them. Not on the tape.
void batch_statistics(const Tensor& x, const Tensor& mean, const Tensor& var);

}  // namespace kinema::engine
