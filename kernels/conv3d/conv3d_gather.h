#pragma once
#include <numeric>
#include "kernels/base/view.h"
#include "kernels/conv3d/conv3d_options.h"

namespace kinema::kernels {

/// Along one axis: result j = 0 .. results-1, which lies at result_first + j * result_step, is the
/// sum over taps m = 0 .. taps-1 of the source at first + j * step + m * tap_step, if that is in
/// [0, sources), times the filter's tap filter_first + m * filter_step.
struct Conv3dGatherAxis {
  int results = 0, result_first = 0, result_step = 1;
  int sources = 0, first = 0, step = 1;
  int taps = 0, tap_step = 1, filter_first = 0, filter_step = 1;
};

/// Both forward and grad_input gather: results of forward are pixels of y, sources pixels of x.
/// Results of grad_input are pixels of dx, sources of dy; a stride divides them into phases, each
/// with a gather of its own whose taps are those that reach it: no product with a zero between.
struct Conv3dGather {
  Conv3dGatherAxis axis[3];  ///< t, h, w
};

inline Conv3dGather conv3d_forward_gather(const Conv3dOptions& o, const Shape& x, const Shape& w,
                                          const Shape& y) {
  Conv3dGather g;
  for (int i = 0; i < 3; ++i) {
    const size_t a = size_t(i);
    g.axis[i] = {.results = int(y[i + 1]),
                 .sources = int(x[i + 1]),
                 .first = int(-o.pad_front[a]),
                 .step = int(o.stride[a]),
                 .taps = int(w[i + 1]),
                 .tap_step = int(o.dilation[a])};
  }
  return g;
}

/// Phases along axis i: pixels of dx that lie a multiple of the stride apart.
inline int conv3d_phases(const Conv3dOptions& o, const Shape& dx, int i) {
  return int(std::min<int64_t>(o.stride[size_t(i)], dx[i + 1]));
}

/// An axis of grad_input before its phase is chosen; device code chooses too. Sizes are those of
/// dx, dy and the filter.
struct Conv3dPhasedAxis {
  int results = 0, sources = 0, taps = 0, stride = 1, dilation = 1, pad = 0;
  int period = 1;  ///< a phase is reached by every period-th tap, or by none

  constexpr Conv3dGatherAxis phase(int p) const {
    const int position = p + pad;
    // Tap a reaches the phase if a * dilation = position modulo stride.
    int tap = 0, rest = position % stride;
    while (tap < period && rest != 0) {
      ++tap;
      rest = (rest + stride - dilation % stride) % stride;
    }
    const bool reached = tap < period && tap < taps;
    return {.results = (results - p + stride - 1) / stride,
            .result_first = p,
            .result_step = stride,
            .sources = sources,
            .first = reached ? (position - tap * dilation) / stride : 0,
            .taps = reached ? (taps - tap + period - 1) / period : 0,
            .tap_step = -(period * dilation / stride),
            .filter_first = tap,
            .filter_step = period};
  }
};
inline Conv3dPhasedAxis conv3d_phased_axis(const Conv3dOptions& o, const Shape& dx, const Shape& w,
                                           const Shape& dy, int i) {
  const int64_t stride = o.stride[size_t(i)], dilation = o.dilation[size_t(i)];
  return {.results = int(dx[i + 1]),
          .sources = int(dy[i + 1]),
          .taps = int(w[i + 1]),
          .stride = int(stride),
          .dilation = int(dilation),
          .pad = int(o.pad_front[size_t(i)]),
          .period = int(stride / std::gcd(stride, dilation))};
}

/// Phase `phase[i]` < conv3d_phases(i) along each axis i.
inline Conv3dGather conv3d_grad_input_gather(const Conv3dOptions& o, const Shape& dx,
                                             const Shape& w, const Shape& dy, const int* phase) {
  Conv3dGather g;
  for (int i = 0; i < 3; ++i) g.axis[i] = conv3d_phased_axis(o, dx, w, dy, i).phase(phase[i]);
  return g;
}

}  // namespace kinema::kernels
