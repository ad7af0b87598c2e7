#pragma once
#include "engine/tensor.h"
#include "kernels/layer_norm/layer_norm_options.h"

namespace kinema::engine {

using kernels::LayerNormOptions;

/// Differentiable layer normalisation over the last axis, kernels/layer_norm: x [...,C] -> as x.
///   gamma, beta  [C], f32 (f64 beside f64); not given: 1 and 0
/// Gradients go to x, gamma and beta. The tape keeps x and two numbers a row.
/// Errors: kernels/layer_norm's.
Tensor layer_norm(const Tensor& x, const Tensor& gamma = {}, const Tensor& beta = {},
                  const LayerNormOptions& options = {});

}  // namespace kinema::engine
