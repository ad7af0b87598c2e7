#pragma once
#include "kernels/conv3d/conv3d.h"

namespace kinema::kernels {

/// Our own vectorised loops for depthwise convolution, f32: each input channel has filters of its
/// own, K / C of them. oneDNN 2.6 has no such code for three axes and falls to its slow paths
/// (bench/results/depthwise_cpu.txt). They take any strides; the epilogue is the caller's.
/// Results do not depend on the number of threads.
void conv3d_depthwise_forward(const Conv3dOptions&, const View& x, const View& w, const View& y);
void conv3d_depthwise_grad_input(const Conv3dOptions&, const View& dy, const View& w,
                                 const View& dx);
void conv3d_depthwise_grad_weight(const Conv3dOptions&, const View& x, const View& dy,
                                  const View& dw);

/// True for the filters `w` that these loops are for.
inline bool is_depthwise(const Conv3dOptions& o, const View& w) {
  return o.groups > 1 && w.shape[4] == 1;
}

}  // namespace kinema::kernels
