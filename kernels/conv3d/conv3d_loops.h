#pragma once
#include "kernels/conv3d/conv3d.h"

namespace kinema::kernels {

/// Our own vectorised loops, f32, for the shapes that oneDNN would serve by its slow `ref` code,
/// and for depthwise convolution (conv3d_depthwise.h). They take any strides; the epilogue is the
/// caller's.
void conv3d_loops_forward(const Conv3dOptions&, const View& x, const View& w, const View& y);
void conv3d_loops_grad_input(const Conv3dOptions&, const View& dy, const View& w, const View& dx);
void conv3d_loops_grad_weight(const Conv3dOptions&, const View& x, const View& dy, const View& dw);

}  // namespace kinema::kernels
