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
  const RowOffsets from(x), to(y);
  const int64_t channels = x.shape[-1];
  const LocalResponseNormOptions o = clipped(options, channels);
  const float k = float(o.k), alpha = float(o.alpha);
  parallel_for(from.rows(), std::max<int64_t>(1, grain / channels), [&](int64_t a, int64_t b) {
    Bordered squares(channels, o.n / 2);
    specialise(o, [&](auto power, auto width) {
      for (int64_t r = a; r < b; ++r) {
        const float *in = data<const float>(x) + from(r), *around = squares.windows();
        float* out = data<float>(y) + to(r);
        square(in, squares.inner(), channels);
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c)
          out[c] = in[c] * power(k + alpha * window(around + c, width));
        std::fill_n(out + channels, y.tail, 0.f);
      }
    });
  });
}

void grad(Stream, const LocalResponseNormOptions& options, View x, View dy, View dx,
          bool accumulate) {
  check_local_response_norm(options, x, dy);
  check_local_response_norm(options, x, dx);
  if (!x.size()) return;
  const RowOffsets in_x(x), in_dy(dy), in_dx(dx);
  const int64_t channels = x.shape[-1];
  const LocalResponseNormOptions o = clipped(options, channels);
  const float k = float(o.k), alpha = float(o.alpha), factor = float(2 * o.alpha * o.beta);
  parallel_for(in_x.rows(), std::max<int64_t>(1, grain / channels), [&](int64_t a, int64_t b) {
    Bordered squares(channels, o.n / 2), shares(channels, o.n / 2);
    std::vector<float> powers(static_cast<size_t>(channels));
    specialise(o, [&](auto power, auto width) {
      for (int64_t r = a; r < b; ++r) {
        const float *in = data<const float>(x) + in_x(r), *g = data<const float>(dy) + in_dy(r);
        float *out = data<float>(dx) + in_dx(r), *p = powers.data(), *share = shares.inner();
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
        std::fill_n(out + channels, dx.tail, 0.f);
      }
    });
  });
}

}  // namespace

const LocalResponseNorm local_response_norm_cpu = {.forward = forward, .grad = grad};

}  // namespace kinema::kernels
