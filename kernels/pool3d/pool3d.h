#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/pool3d/pool3d_options.h"

namespace kinema::kernels {

/// 3D pooling, channels last. The window of output (t,h,w) holds the inputs
///   (t*st - pt + a, h*sh - ph + b, w*sw - pw + c),  0 <= a < kt, 0 <= b < kh, 0 <= c < kw,
/// that lie inside x; padding holds none.
///   max:      y = max over the window; the first of equals wins; NaN wins over all
///   average:  y = sum over the window / count; count is the size of the window, clipped to x with
///             its padding, or to x alone without `count_padding`
///   x [N,T,H,W,C], y [N,To,Ho,Wo,C]; any strides; one floating-point type; averages are summed in
///   f32 or wider and rounded once
///   taps      as y: where in its window each maximum lay, a*kh*kw + b*kw + c; type pool3d_taps();
///             not stored where the View is not given
///   To = (T + pt + pt' - kt) / st + 1, likewise Ho and Wo; in ceil mode the division rounds up,
///   but no window starts behind the last element of x
/// Gradients: each dy goes to the input its tap names (max), or in equal parts of 1/count to its
/// window (average). `accumulate` adds to dx; else dx is overwritten, tails included.
/// Source: PyTorch's max_pool3d and avg_pool3d, whose rules these are; Tran et al., C3D,
/// arXiv:1412.0767, section 3.2.
/// Traffic: where windows do not overlap (stride >= kernel), each pass reads its inputs once and
/// writes its outputs once. Where they do, forward reads each x, and a gradient each dy and tap, as
/// often as windows hold it: kernel / stride times along each axis, all but the first time from a
/// cache.
/// Errors: x not of rank 5; kernel or stride below 1; padding not in [0, kernel); a window larger
/// than padded x; shapes or types that do not fit; on a device, frames or windows of about 2^30
/// along an axis, and 2^31 clips or channels. Axes of size 0 are no error and stay 0.
struct Pool3d {
  void (*max_forward)(Stream, const Pool3dOptions&, View x, View y, View taps);
  void (*max_grad)(Stream, const Pool3dOptions&, View dy, View taps, View dx, bool accumulate);
  void (*average_forward)(Stream, const Pool3dOptions&, View x, View y);
  void (*average_grad)(Stream, const Pool3dOptions&, View dy, View dx, bool accumulate);
};
extern const Pool3d pool3d_reference, pool3d_cpu;
KERNELS_OPTIONAL extern const Pool3d pool3d_cuda, pool3d_emulated, pool3d_cudnn;
inline constexpr Pool3d pool3d_meta = {ignored, ignored, ignored, ignored};

inline const Pool3d& pool3d(Backend b) {
  return select<Pool3d>("pool3d", b,
                        {.reference = &pool3d_reference,
                         .cpu = &pool3d_cpu,
                         .cuda = &pool3d_cuda,
                         .cudnn = &pool3d_cudnn,
                         .emulated = &pool3d_emulated,
                         .meta = &pool3d_meta});
}

/// Shape of y; throws Error where window and x do not fit together.
Shape pool3d_output(const Pool3dOptions&, const Shape& x);

/// The type of `taps`: one byte where it can number all elements of a window.
inline Dtype pool3d_taps(const Pool3dOptions& o) {
  return o.kernel[0] * o.kernel[1] * o.kernel[2] <= 256 ? Dtype::u8 : Dtype::i32;
}

/// Throws Error unless x, y and, where given, taps fit together in shape and type.
void check_pool3d(const Pool3dOptions&, const View& x, const View& y, const View& taps = {});

}  // namespace kinema::kernels
