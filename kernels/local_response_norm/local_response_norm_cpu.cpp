// Bound by memory: a row of channels at a time, its squares in a buffer with zeros around it, so
// that window sums need no ends. Windows are summed afresh: a running sum would keep the rounding
// errors of large channels.
#include <algorithm>
#include <cmath>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/base/vector_math.h"
#include "kernels/local_response_norm/local_response_norm.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

/// s^-1/2, s^-3/4 and any other power.
struct HalfPower {
  float operator()(float s) const { return vector_rsqrt(s); }
};
struct ThreeQuarterPower {
  float operator()(float s) const {
    const float root = vector_rsqrt(s);  // s^-1/4 = s^-1/2 * (s^-1/2)^-1/2
    return root * root * vector_rsqrt(root);
  }
};
struct AnyPower {
  float beta;
  float operator()(float s) const { return std::pow(s, -beta); }
};

/// f(power, width): width is n as a constant where it is the usual 5, so that sums stay in
/// registers.
template <class F>
void specialise(const LocalResponseNormOptions& o, const F& f) {
  const auto with_width = [&](auto power) {
    if (o.n == 5) return f(power, std::integral_constant<int64_t, 5>());
    f(power, o.n);
  };
  if (o.beta == 0.5) return with_width(HalfPower());
  if (o.beta == 0.75) return with_width(ThreeQuarterPower());
  with_width(AnyPower{float(o.beta)});
}

/// from[0] + ... + from[width - 1]
template <class Width>
float window(const float* from, Width width) {
  float sum = from[0];
  for (int64_t j = 1; j < width; ++j) sum += from[j];
  return sum;
}

/// `channels` values with `half` zeros on each side.
class Bordered {
 public:
  Bordered(int64_t channels, int64_t half)
      : half_(half), values_(static_cast<size_t>(channels + 2 * half)) {}
  float* inner() { return values_.data() + half_; }
  /// Where the window of channel 0 begins.
  const float* windows() const { return values_.data(); }

 private:
  int64_t half_;
  std::vector<float> values_;
};

/// Rows of one tensor in f32: where they lie, or converted in a buffer of the thread that asks.
class Rows {
 public:
  explicit Rows(const View& v)
      : view_(v), offset_(v), buffer_(size_t(is_narrow(v.dtype) ? v.shape[-1] : 0)) {}
  /// Row r as it is.
  const float* read(int64_t r) { return get(r, true); }
  /// Row r, to be written by write(r); it holds what the tensor holds if `load` says so.
  float* get(int64_t r, bool load) {
    if (buffer_.empty()) return data<float>(view_) + offset_(r);
    if (load) each(r, [](auto& value, float& wide) { wide = value; });
    return buffer_.data();
  }
  /// Rounds row r to where it belongs, and zeroes the lanes behind it.
  void write(int64_t r) {
    if (!buffer_.empty()) each(r, []<class T>(T& value, float wide) { value = T(wide); });
    dispatch_activation("local_response_norm", view_.dtype, [&]<class T>(T) {
      std::fill_n(data<T>(view_) + offset_(r) + view_.shape[-1], view_.tail, T(0));
    });
  }

 private:
  /// f(element of row r, element of the buffer)
  template <class F>
  void each(int64_t r, F f) {
    dispatch_activation("local_response_norm", view_.dtype, [&]<class T>(T) {
      T* row = data<T>(view_) + offset_(r);
      for (size_t c = 0; c < buffer_.size(); ++c) f(row[c], buffer_[c]);
    });
  }

  View view_;
  RowOffsets offset_;
  std::vector<float> buffer_;
};

void square(const float* x, float* to, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) to[c] = x[c] * x[c];
}

/// n, but no more than reaches every channel of a row.
LocalResponseNormOptions clipped(LocalResponseNormOptions o, int64_t channels) {
  o.n = std::min(o.n, 2 * channels - 1);
  return o;
}

void forward(Stream, const LocalResponseNormOptions& options, View x, View y) {
  check_local_response_norm(options, x, y);
  if (!x.size()) return;
  const int64_t channels = x.shape[-1];
  const LocalResponseNormOptions o = clipped(options, channels);
  const float k = float(o.k), alpha = float(o.alpha);
  const int64_t rows = RowOffsets(x).rows();
  parallel_for(rows, std::max<int64_t>(1, grain / channels), [&](int64_t a, int64_t b) {
    Rows from(x), to(y);
    Bordered squares(channels, o.n / 2);
    specialise(o, [&](auto power, auto width) {
      for (int64_t r = a; r < b; ++r) {
        const float *in = from.read(r), *around = squares.windows();
        float* out = to.get(r, false);
        square(in, squares.inner(), channels);
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c)
          out[c] = in[c] * power(k + alpha * window(around + c, width));
        to.write(r);
      }
    });
  });
}

void grad(Stream, const LocalResponseNormOptions& options, View x, View dy, View dx,
          bool accumulate) {
  check_local_response_norm(options, x, dy);
  check_local_response_norm(options, x, dx);
  if (!x.size()) return;
  const int64_t channels = x.shape[-1];
  const LocalResponseNormOptions o = clipped(options, channels);
  const float k = float(o.k), alpha = float(o.alpha), factor = float(2 * o.alpha * o.beta);
  const int64_t rows = RowOffsets(x).rows();
  parallel_for(rows, std::max<int64_t>(1, grain / channels), [&](int64_t a, int64_t b) {
    Rows in_x(x), in_dy(dy), in_dx(dx);
    Bordered squares(channels, o.n / 2), shares(channels, o.n / 2);
    std::vector<float> powers(static_cast<size_t>(channels));
    specialise(o, [&](auto power, auto width) {
      for (int64_t r = a; r < b; ++r) {
        const float *in = in_x.read(r), *g = in_dy.read(r);
        float *out = in_dx.get(r, accumulate), *p = powers.data(), *share = shares.inner();
        const float *around = squares.windows(), *shared = shares.windows();
        square(in, squares.inner(), channels);
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
          const float s = k + alpha * window(around + c, width);
          p[c] = power(s);
          share[c] = g[c] * in[c] * p[c] / s;
        }
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
          const float v = g[c] * p[c] - factor * in[c] * window(shared + c, width);
          out[c] = accumulate ? out[c] + v : v;
        }
        in_dx.write(r);
      }
    });
  });
}

}  // namespace

const LocalResponseNorm local_response_norm_cpu = {.forward = forward, .grad = grad};

}  // namespace kinema::kernels
