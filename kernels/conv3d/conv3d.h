#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/conv3d/conv3d_options.h"

namespace kinema::kernels {

/// What forward does to each sum before it is stored; a View that is not given is left out.
///   y = relu(scale[k] * (sum + bias[k]) + shift[k] + residual)
struct Conv3dEpilogue {
  View bias = {}, scale = {}, shift = {};  ///< [K], f32 (f64 beside f64)
  View residual = {};                      ///< shape and type of y; not y itself
  bool relu = false;
  /// Statistics of the stored y for a batch norm, [tiles(), 3, K], f32 (f64 beside f64): a tile's
  /// number of pixels, their mean, and the sum of squares of what they differ by from it (M2).
  View partials = {};
};

/// What grad_input does to each sum before it is stored; a View that is not given is left out.
///   dx = mask > 0 ? sum + (accumulate ? dx : 0) : 0
struct Conv3dGradEpilogue {
  bool accumulate = false;
  View mask = {};  ///< shape and type of dx: what the ReLU gave that made x; NaN counts as above 0
  /// What a batch norm that made x (before its ReLU) needs of the stored dx, [tiles(), 2, C], f32
  /// (f64 beside f64): a tile's sums of dx and of dx * (z - mean).
  View sums = {};
  View z = {}, mean = {};  ///< what that batch norm read, as dx; its mean [C]. Given with sums
};

/// 3D convolution (cross-correlation), channels last:
///   y[n,t,h,w,k] = epilogue( sum over a,b,c,i of
///                  x[n, t*st - pt + a*dt, h*sh - ph + b*dh, w*sw - pw + c*dw, g*C/G + i] *
///                  w[k,a,b,c,i] ),   g = k / (K/G); x is 0 outside
///   x [N,T,H,W,C]   activations; any strides of N and T
///   w [K,kt,kh,kw,C/G]
///   y [N,To,Ho,Wo,K], To = (T + pt + pt' - (kt-1)*dt - 1) / st + 1, likewise Ho and Wo
/// x, w and y have one floating-point type; sums run in f32 or wider and are rounded once, after
/// the epilogue. Gradients, dy being that of the bare sum:
///   dx = transposed convolution of dy by w; dw = correlation of x with dy; db = dy over n,t,h,w
///   dx has the type of dy; dw and db are f32 (f64 beside f64)
/// `accumulate` adds to what dx, dw, db hold; else they are overwritten, tails included. f32 is
/// TF32 only if asked for. Devices multiply zeros too: NaN may spread by 0 * NaN (docs/design.md).
/// Source: Tran et al., C3D, arXiv:1412.0767, section 3; Ji et al., TPAMI 2013, eq. 3.
/// Errors: ranks, channel counts, types or output sizes that do not fit; groups that do not divide
/// C and K. Axes of size 0 are no error: the sum over nothing is 0.
struct Conv3d {
  void (*forward)(Stream, const Conv3dOptions&, View x, View w, View y, const Conv3dEpilogue&);
  void (*grad_input)(Stream, const Conv3dOptions&, View dy, View w, View dx,
                     const Conv3dGradEpilogue&);
  void (*grad_weight)(Stream, const Conv3dOptions&, View x, View dy, View dw, bool accumulate);
  void (*grad_bias)(Stream, View dy, View db, bool accumulate);
  /// Tiles that forward (of y) or grad_input (of x = dx, y = dy) divides its pixels into, each in
  /// one: what an epilogue's partials or sums have room for. Which pixels a tile has is open.
  int64_t (*tiles)(Conv3dPass, const Conv3dOptions&, View x, View w, View y);
};
extern const Conv3d conv3d_reference, conv3d_cpu;
KERNELS_OPTIONAL extern const Conv3d conv3d_cuda, conv3d_cudnn, conv3d_emulated;
inline constexpr Conv3d conv3d_meta = {ignored, ignored, ignored, ignored, ignored};

inline const Conv3d& conv3d(Backend b) {
  return select<Conv3d>("conv3d", b,
                        {.reference = &conv3d_reference,
                         .cpu = &conv3d_cpu,
                         .cuda = &conv3d_cuda,
                         .cudnn = &conv3d_cudnn,
                         .emulated = &conv3d_emulated,
                         .meta = &conv3d_meta});
}

/// A backend that takes all pixels for one tile.
constexpr int64_t one_tile(Conv3dPass, const Conv3dOptions&, View, View, View) { return 1; }

/// Shape of y; throws Error where x and w do not fit together.
Shape conv3d_output(const Conv3dOptions&, const Shape& x, const Shape& w);

/// Throws Error unless y, x, w and the epilogue fit together in shape and type.
void check_conv3d(const Conv3dOptions&, const View& x, const View& w, const View& y,
                  const Conv3dEpilogue& = {});

/// Throws Error unless dy, w, dx and the epilogue fit together.
void check_conv3d_input(const Conv3dOptions&, const View& dy, const View& w, const View& dx,
                        const Conv3dGradEpilogue&);

/// Throws Error unless partials or sums, where they are given, have room for so many tiles.
void check_conv3d_tiles(const View& of_tiles, int64_t tiles);

/// Throws Error unless dw takes the sums over x and dy.
void check_conv3d_weight(const Conv3dOptions&, const View& x, const View& dy, const View& dw);

/// Throws Error unless db [K] takes the sums of dy [N,To,Ho,Wo,K].
void check_conv3d_bias(const View& dy, const View& db);

}  // namespace kinema::kernels
