#include <array>
#include "kernels/batch_norm/batch_norm_cpu.h"

namespace kinema::kernels::batch_norm_on_cpu {

namespace {

/// How the ReLU's decision is known.
enum class Mask { none, from_x, from_y };

/// One number a lane of a line each.
struct Tiled {
  const float *mean, *scale, *beta;
};

/// One line of what is read.
template <class T>
struct Line {
  const T *dy, *x, *y;
};

/// dy where the ReLU let its output pass, else 0.
template <Mask mask, class T>
inline float passed(const Line<T>& at, int64_t i, const Tiled& t) {
  const float dy = at.dy[i];
  if constexpr (mask == Mask::none) return dy;
  if constexpr (mask == Mask::from_y) return at.y[i] > 0 ? dy : 0;
  return normalised(at.x[i], t.mean[i], t.scale[i], t.beta[i]) > 0 ? dy : 0;
}

/// What lies `ahead` elements behind the start of a line.
template <Mask mask, class T>
inline void prefetch(const Line<T>& at, int64_t ahead, int64_t count) {
  kernels::prefetch(at.x + ahead, count);
  kernels::prefetch(at.dy + ahead, count);
  if constexpr (mask == Mask::from_y) kernels::prefetch(at.y + ahead, count);
}

/// s1 += sum of g, s2 += sum of g * (x - mean), over n lines.
template <Mask mask, size_t n, class T>
void add_sums(const std::array<Line<T>, n>& lines, const Tiled& t, float* __restrict s1,
              float* __restrict s2, int64_t width) {
  prefetch<mask>(lines[0], 2 * int64_t(n) * width, int64_t(n) * width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    float sum = 0, product = 0;
#pragma GCC unroll 2
    for (size_t k = 0; k < n; ++k) {
      const float g = passed<mask>(lines[k], i, t);
      sum += g;
      product += g * (lines[k].x[i] - t.mean[i]);
    }
    s1[i] += sum;
    s2[i] += product;
  }
}

/// to = scale * (g - k1 - (x - mean) * k2), or added to it.
template <Mask mask, bool add, class T>
void dx_line(const Line<T>& at, const Tiled& t, const float* __restrict k1,
             const float* __restrict k2, T* __restrict to, int64_t width) {
  prefetch<mask>(at, 4 * width, width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const float g = passed<mask>(at, i, t);
    const float v = t.scale[i] * (g - k1[i] - (at.x[i] - t.mean[i]) * k2[i]);
    to[i] = T(add ? to[i] + v : v);
  }
}

template <Mask mask, class T>
void dresidual_line(const Line<T>& at, const Tiled& t, bool add, T* __restrict to, int64_t width) {
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const float g = passed<mask>(at, i, t);
    to[i] = T(add ? to[i] + g : g);
  }
}

template <class T>
struct Grad {
  Grad(const BatchNormKept& k, const View& dy_, const BatchNormTargets& to)
      : lines(k.x, {dy_, k.y, to.dx.view, to.dresidual.view}),
        x(k.x, lines),
        dy(dy_, lines),
        y(k.y, lines),
        dx(to.dx.view, lines),
        dresidual(to.dresidual.view, lines),
        mean(lines.tiled(data<const float>(k.mean))),
        scale(lines.tiled(scales(k.gamma, k.rstd).data())),
        beta(lines.tiled(data<const float>(k.beta))),
        tiled{mean.data(), scale.data(), beta.data()},
        rstd(data<const float>(k.rstd)),
        add_dx(to.dx.accumulate),
        add_dresidual(to.dresidual.accumulate) {}
  Grad(const Grad&) = delete;  // tiled points into itself
  Grad& operator=(const Grad&) = delete;

  Line<T> line(int64_t i) const { return {dy(i), x(i), y(i)}; }

  template <Mask mask>
  void chunk_sums(Partials& parts, int64_t k) const {
    std::vector<float> s1(mean.size()), s2(mean.size());
    int64_t i = parts.begin(k);
    const int64_t end = parts.end(k);
    for (; i + 2 <= end && lines.width(i + 1) == lines.width(); i += 2)
      add_sums<mask, 2, T>({line(i), line(i + 1)}, tiled, s1.data(), s2.data(), lines.width());
    for (; i < end; ++i)
      add_sums<mask, 1, T>({line(i)}, tiled, s1.data(), s2.data(), lines.width(i));
    parts.fold(s1.data(), parts.first(k));
    parts.fold(s2.data(), parts.second(k));
  }

  /// Sums over all rows of g and of g * xhat, which are dbeta and dgamma.
  template <Mask mask>
  void sums(std::vector<double>& dbeta, std::vector<double>& dgamma) const {
    Partials parts(lines);
    parallel_for(parts.count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) chunk_sums<mask>(parts, k);
    });
    for (int64_t k = 0; k < parts.count; ++k)
      for (size_t c = 0; c < dbeta.size(); ++c) {
        dbeta[c] += parts.first(k)[c];
        dgamma[c] += parts.second(k)[c] * double(rstd[c]);
      }
  }

  template <Mask mask>
  void apply(const std::vector<double>& per_channel_k1,
             const std::vector<double>& per_channel_k2) const {
    const auto k1 = lines.tiled(per_channel_k1.data()), k2 = lines.tiled(per_channel_k2.data());
    each_line_backwards(lines, [&](int64_t i) {
      const Line<T> at = line(i);
      const int64_t width = lines.width(i);
      if (T* to = dx(i)) {
        if (add_dx) {
          dx_line<mask, true>(at, tiled, k1.data(), k2.data(), to, width);
        } else {
          dx_line<mask, false>(at, tiled, k1.data(), k2.data(), to, width);
        }
        dx.clear_tail(to);
      }
      if (T* to = dresidual(i)) {
        dresidual_line<mask>(at, tiled, add_dresidual, to, width);
        dresidual.clear_tail(to);
      }
    });
  }

  Lines lines;
  Starts<const T> x, dy, y;
  Starts<T> dx, dresidual;
  std::vector<float> mean, scale, beta;
  Tiled tiled;
  const float* rstd;
  bool add_dx, add_dresidual;
};

void put(const BatchNormTarget& to, const std::vector<double>& values) {
  for (size_t c = 0; to && c < values.size(); ++c) {
    float& at = data<float>(to.view)[c];
    at = float(to.accumulate ? double(at) + values[c] : values[c]);
  }
}

template <Mask mask, class T>
void grad_as(const BatchNormKept& k, const View& dy, const BatchNormTargets& to, bool training) {
  const Grad<T> grad(k, dy, to);
  const size_t channels = size_t(grad.lines.channels);
  std::vector<double> dbeta(channels), dgamma(channels);
  if (training || to.dgamma || to.dbeta) grad.template sums<mask>(dbeta, dgamma);
  std::vector<double> k1(channels), k2(channels);
  const double rows = double(grad.lines.rows);
  for (size_t c = 0; training && c < channels; ++c) {
    k1[c] = dbeta[c] / rows;
    k2[c] = dgamma[c] * double(grad.rstd[c]) / rows;
  }
  if (to.dx || to.dresidual) grad.template apply<mask>(k1, k2);
  put(to.dgamma, dgamma);
  put(to.dbeta, dbeta);
}

void grad(const BatchNormKept& k, const View& dy, const BatchNormTargets& to, bool training) {
  check_batch_norm_grad(k, dy, to, training);
  dispatch_activation("batch_norm", k.x.dtype, [&]<class T>(T) {
    if (!k.relu) return grad_as<Mask::none, T>(k, dy, to, training);
    if (k.y) return grad_as<Mask::from_y, T>(k, dy, to, training);
    grad_as<Mask::from_x, T>(k, dy, to, training);
  });
}

}  // namespace

void train_grad(Stream, const BatchNormKept& k, View dy, const BatchNormTargets& to) {
  grad(k, dy, to, true);
}
void infer_grad(Stream, const BatchNormKept& k, View dy, const BatchNormTargets& to) {
  grad(k, dy, to, false);
}

}  // namespace kinema::kernels::batch_norm_on_cpu
