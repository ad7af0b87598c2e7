#pragma once
#include "engine/tensor.h"
#include "kernels/local_response_norm/local_response_norm_options.h"

namespace kinema::engine {

using kernels::LocalResponseNormOptions;

/// x[c] / (k + alpha * sum of x[j]^2 over the n channels j around c)^beta, pixel by pixel;
/// kernels/local_response_norm. x [...,C]. alpha weights the sum, not the mean: PyTorch's and
/// Caffe's is n times ours. Differentiable; keeps x alone.
/// Errors: kernels/local_response_norm's.
Tensor local_response_norm(const Tensor& x, const LocalResponseNormOptions& options = {});

}  // namespace kinema::engine
