#pragma once
#include "engine/tensor.h"

namespace kinema::engine {

/// y += t * (x - y), in place, kernels/lerp: y moves towards x by the share t, f64 [1] on
/// their device: 0 leaves y and 1 gives x, whatever the other holds. Not on the tape.
/// Errors: kernels/lerp's.
void lerp(const Tensor& t, const Tensor& x, const Tensor& y);

}  // namespace kinema::engine
