#pragma once
#include "engine/tensor.h"

namespace kinema::engine {

/// y += t * (x - y), in place, kernels/lerp: y moves towards x by the share t in [0, 1]. Not on the
/// tape.
/// Errors: kernels/lerp's.
void lerp(double t, const Tensor& x, const Tensor& y);

}  // namespace kinema::engine
