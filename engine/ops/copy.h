#pragma once
#include "engine/tensor.h"

namespace kinema::engine {

/// to = from, or to += from; strides and types as kernels/copy says. Between devices too, which
/// waits. Not on the tape.
void copy(const Tensor& from, const Tensor& to, bool accumulate = false);
/// Sets every element of `to`. Not on the tape.
void fill(const Tensor& to, double value);

/// x in fresh memory laid out by kernels::fresh_layout; x itself where it lies so already.
/// Differentiable. Each copy is counted.
Tensor contiguous(const Tensor& x);
/// Copies that contiguous() and reshape() made on this thread so far, in bytes.
int64_t packed_bytes();
void count_packed(const Tensor& copied);

/// The values of x in `dtype`: x itself where that is its type, else a fresh tensor.
/// Differentiable: the gradient is rounded to x's type.
Tensor cast(const Tensor& x, Dtype dtype);

/// x in fresh memory of `device`; x itself where it lies there. Waits until it is there, but for
/// the meta device. Differentiable. Errors: x on the meta device, which has no values.
Tensor to_device(const Tensor& x, Device device);

}  // namespace kinema::engine
