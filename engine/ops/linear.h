#pragma once
#include "engine/tensor.h"
#include "kernels/linear/linear_options.h"

namespace kinema::engine {

using kernels::LinearOptions;

/// Fully connected layer, kernels/linear: y[...,k] = relu(sum over i of x[...,i] * w[k,i] +
/// bias[k])
///   x     [...,in]   at least two axes; rows are what the leading ones hold
///   w     [out,in]
///   bias  [out]      left out where it is not given; as is the ReLU
/// Differentiable in x, w and bias.
/// Errors: kernels/linear's; x of one axis.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {}, bool relu = false,
              const LinearOptions& options = {});

}  // namespace kinema::engine
