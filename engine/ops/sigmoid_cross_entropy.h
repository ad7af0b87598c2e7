#pragma once
#include "engine/tensor.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_options.h"

namespace kinema::engine {

using kernels::SigmoidCrossEntropyOptions;

/// The mean over rows and classes of the binary cross entropy -q log s - (1 - q) log(1 - s), in
/// nats, with s = 1 / (1 + e^-logit) and q the target, drawn to 1/2 by `smoothing`: for videos that
/// show several classes. kernels/sigmoid_cross_entropy.
///   logits   [N,K], N and K >= 1
///   targets  [N,K], f32 (f64 beside f64), in [0,1]
///   returns  [1], of the type of the targets
/// Differentiable in the logits.
/// Errors: shapes or types that do not fit.
Tensor sigmoid_cross_entropy(const Tensor& logits, const Tensor& targets,
                             const SigmoidCrossEntropyOptions& options = {});

}  // namespace kinema::engine
