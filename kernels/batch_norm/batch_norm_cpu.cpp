#include "kernels/batch_norm/batch_norm_cpu.h"
#include <cmath>

namespace kinema::kernels {

namespace batch_norm_on_cpu {
namespace {

/// s1 += sum of d, s2 += sum of d * d, over two lines; d = x - shift. Two at a time, so that sums
/// in the cache are touched once for two loads; four would be slower, being too many streams.
template <class T>
void add_moments(const T* __restrict x0, const T* __restrict x1, const float* __restrict shift,
                 float* __restrict s1, float* __restrict s2, int64_t width) {
  prefetch(x0 + 4 * width, 2 * width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const float d0 = x0[i] - shift[i], d1 = x1[i] - shift[i];
    s1[i] += d0 + d1;
    s2[i] += d0 * d0 + d1 * d1;
  }
}

template <class T>
void add_moments(const T* __restrict x, const float* __restrict shift, float* __restrict s1,
                 float* __restrict s2, int64_t width) {
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const float d = x[i] - shift[i];
    s1[i] += d;
    s2[i] += d * d;
  }
}

/// The mean of some of the first rows of lines [begin, end).
template <class T>
std::vector<float> mean_of_first(const Starts<const T>& x, const Lines& lines, int64_t begin,
                                 int64_t end) {
  std::vector<float> mean(size_t(lines.channels));
  const int64_t seen = std::min<int64_t>(end - begin, 16);
  for (int64_t i = begin; i < begin + seen; ++i)
    for (int64_t c = 0; c < lines.channels; ++c) mean[size_t(c)] += x(i)[c];
  for (float& m : mean) m /= float(seen);
  return mean;
}

/// Mean and M2 = sum of (x - mean)^2 of chunk k, in one reading. Values are shifted by the mean of
/// the chunk's first rows; being samples, these lie so near that what the shift leaves cannot swamp
/// M2: its relative error stays below the chunk's rows times epsilon.
template <class T>
void chunk_moments(const Starts<const T>& x, Partials& parts, int64_t k) {
  const Lines& lines = parts.lines;
  const int64_t end = parts.end(k);
  const std::vector<float> near = mean_of_first(x, lines, parts.begin(k), end),
                           shift = lines.tiled(near.data());
  std::vector<float> s1(shift.size()), s2(shift.size());
  int64_t i = parts.begin(k);
  for (; i + 2 <= end && lines.width(i + 1) == lines.width(); i += 2)
    add_moments(x(i), x(i + 1), shift.data(), s1.data(), s2.data(), lines.width());
  for (; i < end; ++i) add_moments(x(i), shift.data(), s1.data(), s2.data(), lines.width(i));
  double *mean = parts.first(k), *m2 = parts.second(k);
  parts.fold(s1.data(), mean);
  parts.fold(s2.data(), m2);
  const double rows = double(parts.rows(k));
  for (int64_t c = 0; c < lines.channels; ++c) {
    const double sum = mean[c];
    mean[c] = double(near[size_t(c)]) + sum / rows;
    m2[c] = std::max(0.0, m2[c] - sum * (sum / rows));
  }
}

struct Moments {
  std::vector<double> mean, var;  // var divided by the number of rows
};

/// Chunks in parallel, then merged in their order.
/// Source: Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983, eq. 2.1.
template <class T>
Moments moments(const View& view) {
  const Lines lines(view, {});
  const Starts<const T> x(view, lines);
  Partials parts(lines);
  parallel_for(parts.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) chunk_moments(x, parts, k);
  });
  const size_t channels = size_t(lines.channels);
  Moments m{std::vector<double>(channels), std::vector<double>(channels)};
  const double all = double(lines.rows);
  for (int64_t k = 0; k < parts.count; ++k) {
    const double share = double(parts.rows(k)) / all;
    for (size_t c = 0; c < channels; ++c) m.mean[c] += parts.first(k)[c] * share;
  }
  for (int64_t k = 0; k < parts.count; ++k) {
    const double share = double(parts.rows(k)) / all;
    for (size_t c = 0; c < channels; ++c) {
      const double gap = parts.first(k)[c] - m.mean[c];
      m.var[c] += parts.second(k)[c] / all + share * gap * gap;
    }
  }
  return m;
}

Moments moments_of(const View& x) {
  return dispatch_activation("batch_norm", x.dtype, [&]<class T>(T) { return moments<T>(x); });
}

void statistics(Stream, View x, View mean, View var) {
  check_batch_norm_statistics(x, mean, var);
  const Moments m = moments_of(x);
  for (int64_t c = 0; c < x.shape[-1]; ++c) {
    data<float>(mean)[c] = float(m.mean[size_t(c)]);
    data<float>(var)[c] = float(m.var[size_t(c)]);
  }
}

template <bool relu, bool with_residual, class T>
void apply_line(const T* __restrict x, const T* __restrict residual, const float* __restrict mean,
                const float* __restrict scale, const float* __restrict beta, T* __restrict y,
                int64_t width) {
  prefetch(x + 2 * width, width);
  if constexpr (with_residual) prefetch(residual + 2 * width, width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    float v = normalised(x[i], mean[i], scale[i], beta[i]);
    if constexpr (with_residual) v += residual[i];
    y[i] = T(relu && v < 0 ? 0 : v);
  }
}

template <class T, bool relu, bool with_residual>
void apply_as(const View& x, const BatchNormParameters& p, const View& residual, const View& y,
              const BatchNormSaved& s) {
  const Lines lines(x, {residual, y});
  const auto mean = lines.tiled(data<const float>(s.mean)),
             scale = lines.tiled(scales(p.gamma, s.rstd).data()),
             beta = lines.tiled(data<const float>(p.beta));
  const Starts<const T> from(x, lines), added(residual, lines);
  const Starts<T> to(y, lines);
  each_line_backwards(lines, [&](int64_t i) {
    T* line = to(i);
    apply_line<relu, with_residual>(from(i), added(i), mean.data(), scale.data(), beta.data(), line,
                                    lines.width(i));
    to.clear_tail(line);
  });
}

void apply(const View& x, const BatchNormParameters& p, const BatchNormEpilogue& e, const View& y,
           const BatchNormSaved& s) {
  dispatch_activation("batch_norm", x.dtype, [&]<class T>(T) {
    if (e.relu && e.residual) return apply_as<T, true, true>(x, p, e.residual, y, s);
    if (e.relu) return apply_as<T, true, false>(x, p, {}, y, s);
    if (e.residual) return apply_as<T, false, true>(x, p, e.residual, y, s);
    apply_as<T, false, false>(x, p, {}, y, s);
  });
}

void train_forward(Stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  check_batch_norm(o, x, p, e, y, true);
  const Moments m = moments_of(x);
  const double rows = double(RowOffsets(x).rows());
  for (size_t c = 0; c < m.mean.size(); ++c) {
    data<float>(s.mean)[c] = float(m.mean[c]);
    data<float>(s.rstd)[c] = float(1 / std::sqrt(m.var[c] + o.eps));
    float &mean = data<float>(p.running_mean)[c], &var = data<float>(p.running_var)[c];
    mean = float((1 - o.momentum) * double(mean) + o.momentum * m.mean[c]);
    var = float((1 - o.momentum) * double(var) + o.momentum * m.var[c] * rows / (rows - 1));
  }
  apply(x, p, e, y, s);
}

void infer_forward(Stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  check_batch_norm(o, x, p, e, y, false);
  for (int64_t c = 0; c < x.shape[-1]; ++c) {
    data<float>(s.mean)[c] = data<float>(p.running_mean)[c];
    data<float>(s.rstd)[c] = float(1 / std::sqrt(double(data<float>(p.running_var)[c]) + o.eps));
  }
  apply(x, p, e, y, s);
}

}  // namespace
}  // namespace batch_norm_on_cpu

const BatchNorm batch_norm_cpu = {.statistics = batch_norm_on_cpu::statistics,
                                  .train_forward = batch_norm_on_cpu::train_forward,
                                  .infer_forward = batch_norm_on_cpu::infer_forward,
                                  .train_grad = batch_norm_on_cpu::train_grad,
                                  .infer_grad = batch_norm_on_cpu::infer_grad};

}  // namespace kinema::kernels
