#pragma once
#include "engine/tensor.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy_options.h"

namespace kinema::engine {

using kernels::SoftmaxCrossEntropyOptions;

/// The mean over rows of -sum of q log softmax(logits), in nats; q is the label's class but for the
/// share `smoothing`, which all classes divide. kernels/softmax_cross_entropy.
///   logits  [N,K], N >= 1
///   labels  [N] i64, in [0,K)
///   returns [1], f32 (f64 of f64)
/// Differentiable in the logits.
/// Errors: shapes or types that do not fit; a label outside of [0,K), named with its row.
Tensor softmax_cross_entropy(const Tensor& logits, const Tensor& labels,
                             const SoftmaxCrossEntropyOptions& options = {});

/// e^x / sum of e^x over the last axis, for evaluation; f32 (f64 of f64). Not differentiable.
/// Errors: x on the tape.
Tensor softmax(const Tensor& x);

}  // namespace kinema::engine
