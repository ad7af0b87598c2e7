#include <algorithm>
#include <cmath>
#include "kernels/local_response_norm/local_response_norm.h"

namespace kinema::kernels {

namespace {

/// The sum of value(j) over the window of channel c.
template <class Value>
double window(int64_t n, int64_t channels, int64_t c, Value value) {
  double sum = 0;
  for (int64_t j = std::max<int64_t>(0, c - n / 2); j <= std::min(channels - 1, c + n / 2); ++j)
    sum += value(j);
  return sum;
}

template <class T>
double scale(const LocalResponseNormOptions& o, const T* x, int64_t channels, int64_t c) {
  return o.k + o.alpha * window(o.n, channels, c, [&](int64_t j) { return double(x[j]) * x[j]; });
}

void forward(Stream, const LocalResponseNormOptions& o, View x, View y) {
  check_local_response_norm(o, x, y);
  dispatch_float("local_response_norm", x.dtype, [&]<class T>(T) {
    const RowOffsets from(x), to(y);
    const int64_t channels = x.shape[-1];
    for (int64_t r = 0; x.size() && r < from.rows(); ++r) {
      const T* in = data<const T>(x) + from(r);
      T* out = data<T>(y) + to(r);
      for (int64_t c = 0; c < channels; ++c)
        out[c] = T(double(in[c]) * std::pow(scale(o, in, channels, c), -o.beta));
      std::fill_n(out + channels, y.tail, T(0));
    }
  });
}

void grad(Stream, const LocalResponseNormOptions& o, View x, View dy, View dx, bool accumulate) {
  check_local_response_norm(o, x, dy);
  check_local_response_norm(o, x, dx);
  dispatch_float("local_response_norm", x.dtype, [&]<class T>(T) {
    const RowOffsets in_x(x), in_dy(dy), in_dx(dx);
    const int64_t channels = x.shape[-1];
    for (int64_t r = 0; x.size() && r < in_x.rows(); ++r) {
      const T *in = data<const T>(x) + in_x(r), *g = data<const T>(dy) + in_dy(r);
      T* out = data<T>(dx) + in_dx(r);
      for (int64_t c = 0; c < channels; ++c) {
        const double around = window(o.n, channels, c, [&](int64_t j) {
          return double(g[j]) * double(in[j]) * std::pow(scale(o, in, channels, j), -o.beta - 1);
        });
        const double v = double(g[c]) * std::pow(scale(o, in, channels, c), -o.beta) -
                         2 * o.alpha * o.beta * double(in[c]) * around;
        out[c] = T((accumulate ? double(out[c]) : 0) + v);
      }
      std::fill_n(out + channels, dx.tail, T(0));
    }
  });
}

}  // namespace

const LocalResponseNorm local_response_norm_reference = {.forward = forward, .grad = grad};

}  // namespace kinema::kernels
