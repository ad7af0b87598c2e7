#pragma once
#include <vector>
#include "engine/tensor.h"

namespace kinema::engine {

/// The sum, or the mean, of x over `axes` (negative: from the last), which stay with size 1.
/// Differentiable. The mean over nothing is NaN, as 0 / 0 is.
/// Errors: an axis that x has not, or named twice.
Tensor sum(const Tensor& x, const std::vector<int>& axes);
Tensor mean(const Tensor& x, const std::vector<int>& axes);

/// x [N,T,H,W,C] -> [N,C]: the mean over all frames and pixels. Differentiable.
/// Source: Lin et al., Network In Network, arXiv:1312.4400, section 3.2.
Tensor global_average_pool(const Tensor& x);

/// y = the sum of x[i]^2 over all elements, or += with `accumulate`; y is f64 [1] on the device of
/// x. Not on the tape.
void squared_norm(const Tensor& x, const Tensor& y, bool accumulate = false);

}  // namespace kinema::engine
