// Bound by memory: a row is read once and stays in the first cache for the passes over it. Sums
// over a row run in double; those over rows in f32 within a chunk, in double between chunks.
#include <algorithm>
#include <cmath>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/layer_norm/layer_norm.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

/// A row in f32: where it lies, or converted into `buffer`.
template <class T>
const float* in_f32(const T* row, std::vector<float>& buffer) {
  if constexpr (std::is_same_v<T, float>) {
    return row;
  } else {
    for (size_t c = 0; c < buffer.size(); ++c) buffer[c] = row[c];
    return buffer.data();
  }
}

/// A parameter, or `standard` in each channel where it is not given.
std::vector<float> values_of(const View& v, int64_t channels, float standard) {
  if (!v) return std::vector<float>(size_t(channels), standard);
  return {data<const float>(v), data<const float>(v) + channels};
}

/// A row's mean as a sum of two f32, so that x - mean keeps what a mean far from 0 would swamp.
struct Moments {
  float mean, rest, rstd;
  float centred(float x) const { return (x - mean) - rest; }
};

Moments moments_of(const float* x, int64_t channels, double eps) {
  if (!channels) return {0, 0, float(1 / std::sqrt(eps))};
  double sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < channels; ++c) sum += double(x[c]);
  const double mean = sum / double(channels);
  Moments m{float(mean), float(mean - double(float(mean))), 0};
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < channels; ++c) {
    const float d = m.centred(x[c]);
    squares += double(d * d);
  }
  m.rstd = float(1 / std::sqrt(squares / double(channels) + eps));
  return m;
}

template <class T>
void forward_as(const LayerNormOptions& o, const View& x, const LayerNormParameters& p,
                const View& y, const LayerNormSaved& s) {
  const RowOffsets from(x), to(y);
  const int64_t channels = x.shape[-1];
  const std::vector<float> gamma = values_of(p.gamma, channels, 1),
                           beta = values_of(p.beta, channels, 0);
  const int64_t rows_a_core = grain / std::max<int64_t>(channels, 1);
  parallel_for(from.rows(), rows_a_core, [&](int64_t first, int64_t last) {
    std::vector<float> buffer(static_cast<size_t>(channels));
    for (int64_t r = first; r < last; ++r) {
      const float* in = in_f32(data<const T>(x) + from(r), buffer);
      T* out = data<T>(y) + to(r);
      const Moments m = moments_of(in, channels, o.eps);
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c)
        out[c] = T(m.centred(in[c]) * m.rstd * gamma[size_t(c)] + beta[size_t(c)]);
      if (channels) std::fill_n(out + channels, y.tail, T(0));
      data<float>(s.mean)[r] = m.mean;
      data<float>(s.rstd)[r] = m.rstd;
    }
  });
}

void forward(Stream, const LayerNormOptions& o, View x, const LayerNormParameters& p, View y,
             const LayerNormSaved& s) {
  check_layer_norm(o, x, p, y, s);
  dispatch_activation("layer_norm", x.dtype, [&]<class T>(T) { forward_as<T>(o, x, p, y, s); });
}

template <class T>
struct Grad {
  Grad(const LayerNormKept& k_, const View& dy_, const LayerNormTargets& to_)
      : k(k_),
        dy(dy_),
        to(to_),
        in_x(k.x),
        in_dy(dy),
        in_dx(to.dx.view),
        channels(k.x.shape[-1]),
        rows(in_x.rows()),
        chunk(std::clamp<int64_t>((rows + 63) / 64, 16, 4096)),
        chunks((rows + chunk - 1) / chunk),
        gamma(values_of(k.gamma, channels, 1)) {}

  /// dx of one row; g and xhat are sized to it and hold what the row gives to dbeta and dgamma.
  void row(int64_t r, const float* x, const float* of, float* __restrict g,
           float* __restrict xhat) const {
    const float mean = data<const float>(k.mean)[r], rstd = data<const float>(k.rstd)[r];
    double sum_g = 0, sum_g_xhat = 0;
#pragma omp simd reduction(+ : sum_g, sum_g_xhat)
    for (int64_t c = 0; c < channels; ++c) {
      xhat[c] = (x[c] - mean) * rstd;
      g[c] = of[c] * gamma[size_t(c)];
      sum_g += double(g[c]);
      sum_g_xhat += double(g[c] * xhat[c]);
    }
    const float mean_g = float(sum_g / double(channels)),
                mean_g_xhat = float(sum_g_xhat / double(channels));
    T* dx = data<T>(to.dx.view) + in_dx(r);
    const bool add = to.dx.accumulate;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c)
      dx[c] = T((add ? float(dx[c]) : 0.f) + rstd * (g[c] - mean_g - xhat[c] * mean_g_xhat));
    std::fill_n(dx + channels, to.dx.view.tail, T(0));
  }

  /// Adds one row to the sums of its chunk.
  void add_row(int64_t r, const float* x, const float* of, float* __restrict dgamma,
               float* __restrict dbeta) const {
    const float mean = data<const float>(k.mean)[r], rstd = data<const float>(k.rstd)[r];
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      dgamma[c] += of[c] * ((x[c] - mean) * rstd);
      dbeta[c] += of[c];
    }
  }

  /// All rows; sums of chunk i lie behind 2 * i * channels. Chunks depend on the shape alone.
  std::vector<float> run() const {
    const bool sums = to.dgamma || to.dbeta;
    std::vector<float> partial(sums ? size_t(2 * chunks * channels) : 0);
    parallel_for(chunks, grain / std::max<int64_t>(chunk * channels, 1), [&](int64_t a, int64_t b) {
      std::vector<float> x_f32(static_cast<size_t>(channels)), of_f32(x_f32), g(x_f32), xhat(x_f32);
      for (int64_t r = a * chunk; r < std::min(b * chunk, rows); ++r) {
        const float *x = in_f32(data<const T>(k.x) + in_x(r), x_f32),
                    *of = in_f32(data<const T>(dy) + in_dy(r), of_f32);
        if (to.dx) row(r, x, of, g.data(), xhat.data());
        float* dgamma = partial.data() + 2 * (r / chunk) * channels;
        if (sums) add_row(r, x, of, dgamma, dgamma + channels);
      }
    });
    return partial;
  }

  /// Adds the chunks' sums in their order; half 0 holds dgamma, half 1 dbeta.
  void merge(const std::vector<float>& partial, int64_t half, const LayerNormTarget& target) const {
    for (int64_t c = 0; target && c < channels; ++c) {
      float& at = data<float>(target.view)[c];
      double sum = target.accumulate ? double(at) : 0;
      for (int64_t i = 0; i < chunks; ++i)
        sum += double(partial[size_t((2 * i + half) * channels + c)]);
      at = float(sum);
    }
  }

  const LayerNormKept& k;
  const View& dy;
  const LayerNormTargets& to;
  RowOffsets in_x, in_dy, in_dx;
  int64_t channels, rows, chunk, chunks;
  std::vector<float> gamma;
};

void grad(Stream, const LayerNormKept& k, View dy, const LayerNormTargets& to) {
  check_layer_norm_grad(k, dy, to);
  if (!k.x.shape[-1]) return;
  dispatch_activation("layer_norm", k.x.dtype, [&]<class T>(T) {
    const Grad<T> grad(k, dy, to);
    const std::vector<float> partial = grad.run();
    grad.merge(partial, 0, to.dgamma);
    grad.merge(partial, 1, to.dbeta);
  });
}

}  // namespace

const LayerNorm layer_norm_cpu = {.forward = forward, .grad = grad};

}  // namespace kinema::kernels
