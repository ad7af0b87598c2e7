// One multiply-add of a whole channel row a step: the compiler vectorises over channels. Each
// output row is summed by one thread in a fixed order, so the bits do not depend on the number of
// threads.
#include "kernels/conv3d/conv3d_loops.h"
#include <algorithm>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/conv3d/conv3d_depthwise.h"

namespace kinema::kernels {

namespace {

struct Pixel {
  int64_t n, t, h, w;
};

Pixel pixel_of(const View& v, int64_t index) {
  const int64_t w = index % v.shape[3], h = index / v.shape[3] % v.shape[2];
  const int64_t frame = index / (v.shape[3] * v.shape[2]);
  return {frame / v.shape[1], frame % v.shape[1], h, w};
}

float* row(const View& v, const Pixel& p) {
  return static_cast<float*>(v.data) + p.n * v.stride(0) + p.t * v.stride(1) + p.h * v.stride(2) +
         p.w * v.stride(3);
}

/// Taps [first, last) of one axis whose input lies in [0, size), for output position `o`.
struct Span {
  int64_t first, last, origin;
};
Span taps(const Conv3dOptions& opt, size_t axis, int64_t o, int64_t count, int64_t size) {
  const int64_t origin = o * opt.stride[axis] - opt.pad_front[axis], step = opt.dilation[axis];
  const int64_t first = origin < 0 ? (-origin + step - 1) / step : 0;
  const int64_t last = origin >= size ? 0 : std::min(count, (size - 1 - origin) / step + 1);
  return {first, last, origin};
}

/// f(tap, x_pixel) for the taps of output pixel `p` that fall inside x.
template <class F>
void each_source(const Conv3dOptions& opt, const View& x, const View& w, const Pixel& p, F f) {
  const Span st = taps(opt, 0, p.t, w.shape[1], x.shape[1]);
  const Span sh = taps(opt, 1, p.h, w.shape[2], x.shape[2]);
  const Span sw = taps(opt, 2, p.w, w.shape[3], x.shape[3]);
  for (int64_t a = st.first; a < st.last; ++a)
    for (int64_t b = sh.first; b < sh.last; ++b)
      for (int64_t c = sw.first; c < sw.last; ++c)
        f((a * w.shape[2] + b) * w.shape[3] + c,
          Pixel{p.n, st.origin + a * opt.dilation[0], sh.origin + b * opt.dilation[1],
                sw.origin + c * opt.dilation[2]});
}

int64_t tap_count(const View& w) { return w.shape[1] * w.shape[2] * w.shape[3]; }

float* tap_row(const View& w, int64_t k, int64_t tap) {
  const int64_t c = tap % w.shape[3], b = tap / w.shape[3] % w.shape[2];
  return row(w, {k, tap / (w.shape[3] * w.shape[2]), b, c});
}

/// w as [tap][channel of the group][K], so that a step runs along output channels.
std::vector<float> by_output(const View& w) {
  const int64_t outputs = w.shape[0], channels = w.shape[4];
  std::vector<float> turned(static_cast<size_t>(tap_count(w) * channels * outputs));
  for (int64_t k = 0; k < outputs; ++k)
    for (int64_t tap = 0; tap < tap_count(w); ++tap)
      for (int64_t i = 0; i < channels; ++i)
        turned[size_t((tap * channels + i) * outputs + k)] = tap_row(w, k, tap)[i];
  return turned;
}

/// to[0, n) += scale * from[0, n)
void add_row(float* to, float scale, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += scale * from[i];
}

}  // namespace

void conv3d_loops_forward(const Conv3dOptions& opt, const View& x, const View& w, const View& y) {
  if (is_depthwise(opt, w)) return conv3d_depthwise_forward(opt, x, w, y);
  const int64_t outputs = w.shape[0], channels = w.shape[4], each = outputs / opt.groups;
  const std::vector<float> turned = by_output(w);
  const int64_t pixels = y.size() && outputs ? y.size() / outputs : 0;
  parallel_for(pixels, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Pixel p = pixel_of(y, i);
      float* to = row(y, p);
      std::fill_n(to, outputs + y.tail, 0.f);
      each_source(opt, x, w, p, [&](int64_t tap, const Pixel& s) {
        const float* from = row(x, s);
        for (int64_t g = 0; g < opt.groups; ++g)
          for (int64_t c = 0; c < channels; ++c)
            add_row(to + g * each, from[g * channels + c],
                    turned.data() + (tap * channels + c) * outputs + g * each, each);
      });
    }
  });
}

void conv3d_loops_grad_input(const Conv3dOptions& opt, const View& dy, const View& w,
                             const View& dx) {
  if (is_depthwise(opt, w)) return conv3d_depthwise_grad_input(opt, dy, w, dx);
  const int64_t channels = w.shape[4], each = w.shape[0] / opt.groups;
  const int64_t clip = dy.shape[1] * dy.shape[2] * dy.shape[3];
  // Scatter within a clip, clips and groups in parallel: no two threads write one row's channels.
  parallel_for(dx.shape[0] * opt.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t n = part / opt.groups, g = part % opt.groups;
      const View own = dx.slice(0, n, 1).slice(4, g * channels, channels);
      for (int64_t i = 0; i < own.size() / std::max<int64_t>(channels, 1); ++i) {
        const int64_t tail = g == opt.groups - 1 ? dx.tail : 0;
        std::fill_n(row(own, pixel_of(own, i)), channels + tail, 0.f);
      }
      for (int64_t i = n * clip; i < (n + 1) * clip; ++i) {
        const Pixel p = pixel_of(dy, i);
        const float* from = row(dy, p) + g * each;
        each_source(opt, dx, w, p, [&](int64_t tap, const Pixel& s) {
          for (int64_t k = 0; k < each; ++k)
            add_row(row(dx, s) + g * channels, from[k], tap_row(w, g * each + k, tap), channels);
        });
      }
    }
  });
}

void conv3d_loops_grad_weight(const Conv3dOptions& opt, const View& x, const View& dy,
                              const View& dw) {
  if (is_depthwise(opt, dw)) return conv3d_depthwise_grad_weight(opt, x, dy, dw);
  const int64_t channels = dw.shape[4], each = dw.shape[0] / opt.groups;
  const int64_t pixels = dy.size() ? dy.size() / dy.shape[4] : 0;
  parallel_for(dw.shape[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      for (int64_t tap = 0; tap < tap_count(dw); ++tap)
        std::fill_n(tap_row(dw, k, tap), channels + dw.tail, 0.f);
    for (int64_t i = 0; i < pixels; ++i) {
      const Pixel p = pixel_of(dy, i);
      const float* from = row(dy, p);
      each_source(opt, x, dw, p, [&](int64_t tap, const Pixel& s) {
        for (int64_t k = begin; k < end; ++k)
          add_row(tap_row(dw, k, tap), from[k], row(x, s) + k / each * channels, channels);
      });
    }
  });
}

}  // namespace kinema::kernels
