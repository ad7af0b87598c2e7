#include <algorithm>
#include <array>
#include <cmath>
#include "kernels/pool3d/pool3d.h"

namespace kinema::kernels {

namespace {

using Index = std::array<int64_t, 4>;  // n, t, h, w

template <class T>
T* row(const View& v, const Index& at) {
  return data<T>(v) + at[0] * v.stride(0) + at[1] * v.stride(1) + at[2] * v.stride(2) +
         at[3] * v.stride(3);
}

/// f(index) for each row of channels.
template <class F>
void each_row(const Shape& s, F f) {
  for (int64_t n = 0; n < s[0]; ++n)
    for (int64_t t = 0; t < s[1]; ++t)
      for (int64_t h = 0; h < s[2]; ++h)
        for (int64_t w = 0; w < s[3]; ++w) f(Index{n, t, h, w});
}

/// f(a, b, c, tap) for each place in a window.
template <class F>
void each_tap(const Pool3dOptions& o, F f) {
  const auto& k = o.kernel;
  for (int64_t a = 0; a < k[0]; ++a)
    for (int64_t b = 0; b < k[1]; ++b)
      for (int64_t c = 0; c < k[2]; ++c) f(Index{0, a, b, c}, (a * k[1] + b) * k[2] + c);
}

/// The input at `tap` of the window of output `out`; false where it is padding.
bool input_at(const Pool3dOptions& o, const Shape& x, const Index& out, const Index& tap,
              Index& in) {
  bool inside = true;
  in[0] = out[0];
  for (size_t i = 0; i < 3; ++i) {
    in[i + 1] = out[i + 1] * o.step()[i] - o.pad_front[i] + tap[i + 1];
    inside &= in[i + 1] >= 0 && in[i + 1] < x[int(i) + 1];
  }
  return inside;
}

/// The output in whose window input `in` lies at `tap`; false where there is none.
bool output_at(const Pool3dOptions& o, const Shape& y, const Index& in, const Index& tap,
               Index& out) {
  bool exists = true;
  out[0] = in[0];
  for (size_t i = 0; i < 3; ++i) {
    const int64_t start = in[i + 1] + o.pad_front[i] - tap[i + 1];
    out[i + 1] = start / o.step()[i];
    exists &= start >= 0 && start % o.step()[i] == 0 && out[i + 1] < y[int(i) + 1];
  }
  return exists;
}

/// How many elements the average of output `out` counts.
double divisor(const Pool3dOptions& o, const Shape& x, const Index& out) {
  double count = 1;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t start = out[i + 1] * o.step()[i] - o.pad_front[i], size = x[int(i) + 1];
    const int64_t end = start + o.kernel[i];
    count *= double(o.count_padding ? std::min(end, size + o.pad_back[i]) - start
                                    : std::min(end, size) - std::max<int64_t>(start, 0));
  }
  return count;
}

template <class T>
void clear_tail(const View& v, T* at) {
  for (int64_t i = 0; i < v.tail; ++i) at[v.shape[4] + i] = T(0);
}

template <class T, class Tap>
void max_row(const Pool3dOptions& o, const View& x, const View& y, const View& taps,
             const Index& out) {
  for (int64_t c = 0; c < y.shape[4]; ++c) {
    T best = T(0);
    int64_t where = -1;
    each_tap(o, [&](const Index& tap, int64_t number) {
      Index in;
      if (!input_at(o, x.shape, out, tap, in)) return;
      const T v = row<const T>(x, in)[c];
      if (where >= 0 && !(v > best) && !std::isnan(v)) return;
      best = v;
      where = number;
    });
    row<T>(y, out)[c] = best;
    if (taps) row<Tap>(taps, out)[c] = Tap(where);
  }
  clear_tail(y, row<T>(y, out));
  if (taps) clear_tail(taps, row<Tap>(taps, out));
}

void max_forward(Stream, const Pool3dOptions& o, View x, View y, View taps) {
  check_pool3d(o, x, y, taps);
  dispatch_float("pool3d", x.dtype, [&]<class T>(T) {
    each_row(y.shape, [&](const Index& out) {
      if (pool3d_taps(o) == Dtype::u8) return max_row<T, uint8_t>(o, x, y, taps, out);
      max_row<T, int32_t>(o, x, y, taps, out);
    });
  });
}

/// dx at each input: the sum of share(out, tap, c) over the windows that hold it.
template <class T, class F>
void gather(const Pool3dOptions& o, const Shape& y, const View& dx, bool accumulate, F share) {
  each_row(dx.shape, [&](const Index& in) {
    T* to = row<T>(dx, in);
    for (int64_t c = 0; c < dx.shape[4]; ++c) {
      double sum = accumulate ? double(to[c]) : 0;
      each_tap(o, [&](const Index& tap, int64_t number) {
        Index out;
        if (output_at(o, y, in, tap, out)) sum += share(out, number, c);
      });
      to[c] = T(sum);
    }
    clear_tail(dx, to);
  });
}

void max_grad(Stream, const Pool3dOptions& o, View dy, View taps, View dx, bool accumulate) {
  check_pool3d(o, dx, dy, taps);
  check(bool(taps), "pool3d: the gradient of the maximum needs the taps");
  dispatch_float("pool3d", dx.dtype, [&]<class T>(T) {
    gather<T>(o, dy.shape, dx, accumulate, [&](const Index& out, int64_t tap, int64_t c) {
      const int64_t won = taps.dtype == Dtype::u8 ? int64_t(row<const uint8_t>(taps, out)[c])
                                                  : int64_t(row<const int32_t>(taps, out)[c]);
      return won == tap ? double(row<const T>(dy, out)[c]) : 0.0;
    });
  });
}

void average_forward(Stream, const Pool3dOptions& o, View x, View y) {
  check_pool3d(o, x, y);
  dispatch_float("pool3d", x.dtype, [&]<class T>(T) {
    each_row(y.shape, [&](const Index& out) {
      for (int64_t c = 0; c < y.shape[4]; ++c) {
        double sum = 0;
        each_tap(o, [&](const Index& tap, int64_t) {
          Index in;
          if (input_at(o, x.shape, out, tap, in)) sum += double(row<const T>(x, in)[c]);
        });
        row<T>(y, out)[c] = T(sum / divisor(o, x.shape, out));
      }
      clear_tail(y, row<T>(y, out));
    });
  });
}

void average_grad(Stream, const Pool3dOptions& o, View dy, View dx, bool accumulate) {
  check_pool3d(o, dx, dy);
  dispatch_float("pool3d", dx.dtype, [&]<class T>(T) {
    gather<T>(o, dy.shape, dx, accumulate, [&](const Index& out, int64_t, int64_t c) {
      return double(row<const T>(dy, out)[c]) / divisor(o, dx.shape, out);
    });
  });
}

}  // namespace

const Pool3d pool3d_reference = {.max_forward = max_forward,
                                 .max_grad = max_grad,
                                 .average_forward = average_forward,
                                 .average_grad = average_grad};

}  // namespace kinema::kernels
