#pragma once
#include <vector>
#include "engine/tensor.h"

namespace kinema::engine {

/// Elements start, start+step, ... of `axis` (negative: from the last), sharing memory with x.
/// The gradient is the same slice of the gradient of x, written in place. The last axis takes no
/// step.
Tensor slice(const Tensor& x, int axis, int64_t start, int64_t length, int64_t step = 1);

/// x under another shape of as many elements, row-major. Shares memory where the strides allow it;
/// else x is copied (and counted, as by contiguous()).
Tensor reshape(const Tensor& x, const Shape& shape);

/// The axes of x in another order, sharing memory: y.shape[i] = x.shape[order[i]]. The last axis
/// stays the last.
Tensor permute(const Tensor& x, const std::vector<int>& order);

/// The parts one behind the other along `axis`. Parts that are neighbouring slices of one tensor
/// already (operations wrote them there) are joined without a copy; others are copied. Gradients
/// are slices of the whole gradient, uncopied.
Tensor concat(const std::vector<Tensor>& parts, int axis);

}  // namespace kinema::engine
