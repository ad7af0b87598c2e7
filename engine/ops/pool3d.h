#pragma once
#include "engine/tensor.h"
#include "kernels/pool3d/pool3d_options.h"

namespace kinema::engine {

using kernels::Pool3dOptions;

/// Differentiable 3D maximum over windows, kernels/pool3d: [N,T,H,W,C] -> [N,To,Ho,Wo,C]. The tape
/// keeps one byte an output, which names the winner, and neither x nor y. Writes into `out` where
/// it is given (a slice of channels, say).
/// Errors: kernels/pool3d's.
Tensor max_pool3d(const Tensor& x, const Pool3dOptions& options, const Tensor& out = {});

/// Differentiable 3D average over windows, likewise; the tape keeps nothing.
Tensor average_pool3d(const Tensor& x, const Pool3dOptions& options, const Tensor& out = {});

}  // namespace kinema::engine
