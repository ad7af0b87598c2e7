#pragma once
#include "engine/tensor.h"
#include "kernels/conv3d/conv3d_options.h"

namespace kinema::engine {

using kernels::Conv3dOptions;

/// What conv3d does to each sum before it is stored: relu(scale * (sum + bias) + shift + residual).
/// A Tensor that is not given is left out.
struct Conv3dExtras {
  Tensor bias = {};               ///< [K]
  Tensor scale = {}, shift = {};  ///< [K]; constants: a folded batch norm
  Tensor residual = {};           ///< as y
  bool relu = false;
  Tensor out = {};  ///< write here (a slice of channels, say) instead of into fresh memory
};

/// Differentiable 3D convolution, kernels/conv3d: x [N,T,H,W,C], w [K,kt,kh,kw,C/groups] ->
/// [N,To,Ho,Wo,K]. Gradients go to x, w, bias and residual.
/// Errors: kernels/conv3d's; scale or shift that want a gradient.
Tensor conv3d(const Tensor& x, const Tensor& w, const Conv3dOptions& options = {},
              const Conv3dExtras& extras = {});

}  // namespace kinema::engine
