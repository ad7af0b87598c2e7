#include "kernels/batch_norm/batch_norm.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::batch_norm {

constexpr int resident = 4;  // blocks of a multiprocessor: with 64 registers a thread

/// Count, mean and M2 = sum of (d - mean)^2 of N channels of some rows; d = x - near, near being
/// the channel's first value: so a mean far from 0 costs no bits.
template <int N>
struct Moments {
  float count, mean[N], m2[N];

  /// Source: Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983, eq. 2.1.
  KERNELS_INLINE void merge(const Moments& other) {
    const float both = count + other.count;
    const float share = both > 0 ? __fdividef(other.count, both) : 0, weight = count * share;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float gap = other.mean[i] - mean[i];
      mean[i] += gap * share;
      m2[i] += other.m2[i] + gap * gap * weight;
    }
    count = both;
  }
};

/// Of a tile of U rows, in two goes over registers.
template <int U, class T, int N>
KERNELS_INLINE Moments<N> moments_of(const Tile<U, T, N>& x, const float (&near)[N]) {
  Moments<N> m;
  m.count = U;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    float d[U], sum = 0, squares = 0;
#pragma unroll
    for (int u = 0; u < U; ++u) sum += d[u] = x(u, i) - near[i];
    const float mean = sum / U;
#pragma unroll
    for (int u = 0; u < U; ++u) squares += (d[u] - mean) * (d[u] - mean);
    m.mean[i] = mean;
    m.m2[i] = squares;
  }
  return m;
}

/// Mean and M2 of each chunk of rows; `near` of each channel.
template <class T, int N>
__global__ void __launch_bounds__(threads, resident)
    moments_kernel(Split split, Rows<const T> x, Partial* partials, float* near) {
  KERNELS_SHARED(float, first_row, most_channels);
  each_channel<N>([&](int i, int64_t c) {
    first_row[i] = c < split.channels ? to_float(x(0)[c]) : 0;
    if (c < split.channels && blockIdx.x == 0) near[c] = first_row[i];
  });
  __syncthreads();
  const int64_t c = own_channel<N>();
  float shift[N];
  take_own(first_row, shift);
  Moments<N> all{};
  if (c < split.channels)
    each_row<4, false>(split, [&](auto count, int64_t row, int64_t step) {
      Tile<count, T, N> tile;
      tile.load(x, row, step, c);
      all.merge(moments_of(tile, shift));
    });
  merge_columns(all);
  put_partials<N>(split, partials, all.mean, all.m2);
}

/// What to make of a channel's moments; null where it is not wanted.
struct Statistics {
  float *mean = nullptr, *var = nullptr, *rstd = nullptr;
  float *running_mean = nullptr, *running_var = nullptr;
  double eps = 0, momentum = 0;
  double unbiased = 1;  ///< M / (M - 1)
};

KERNELS_INLINE void move(float* running, double to, double momentum) {
  *running = float((1 - momentum) * double(*running) + momentum * to);
}

/// A block a channel. In f64 the plain sums of count, count * mean and count * mean^2 + M2 over
/// chunks are as good as Chan's formula, and have no divisions.
__global__ void __launch_bounds__(finishing_threads)
    finish_moments_kernel(Split split, const Partial* partials, const float* near, Statistics to) {
  for (int64_t c = blockIdx.x; c < split.channels; c += gridDim.x) {
    const Partial* const mine = partials + c * split.blocks;
    const auto rows = [&](int64_t k) { return double(split.end(k) - split.begin(k)); };
    const Totals sum = sum_chunks(mine, split.blocks, [&](const Partial& p, int64_t k) {
      const double moment = rows(k) * double(p.first);
      return Totals{moment, double(p.second) + moment * double(p.first)};
    });
    if (threadIdx.x) continue;
    const double mean = sum.first * split.share, m2 = sum.second - sum.first * mean;
    const double var = m2 < 0 ? 0 : m2 * split.share;  // NaN stays
    to.mean[c] = float(double(near[c]) + mean);
    if (to.var) to.var[c] = float(var);
    if (to.rstd) to.rstd[c] = 1.0f / sqrtf(float(var + to.eps));
    if (!to.running_mean) continue;
    move(to.running_mean + c, double(near[c]) + mean, to.momentum);
    move(to.running_var + c, var * to.unbiased, to.momentum);
  }
}

void take_moments(Stream stream, const char* name, const View& x, const Statistics& to) {
  if (!x.shape[-1]) return;
  dispatch_activation("batch_norm", x.dtype, [&]<class T>(T) {
    with_lanes<T>(takes_packs(x), [&](auto lanes) {
      const Split split(x, lanes, resident);
      const int64_t partials = split.channels * split.blocks;
      const Workspace memory(stream, partials * int64_t(sizeof(Partial)) + split.channels * 4);
      Partial* const parts = memory.data<Partial>();
      float* const near = reinterpret_cast<float*>(parts + partials);
      launch(name, moments_kernel<T, lanes>, split.geometry(), stream, split, Rows<const T>(x),
             parts, near);
      launch(name, finish_moments_kernel, finishing(split), stream, split, parts, near, to);
    });
  });
}

/// Where the numbers of each channel are. In inference, rstd comes from running_var, and both are
/// saved.
struct Channels {
  const float *gamma = nullptr, *beta = nullptr, *mean = nullptr;
  const float *rstd = nullptr, *running_var = nullptr;
  float eps = 0;
  float *saved_mean = nullptr, *saved_rstd = nullptr;

  KERNELS_INLINE float rstd_of(int64_t c, bool save) const {
    if (!running_var) return rstd[c];
    const float r = 1.0f / sqrtf(running_var[c] + eps);
    if (save) saved_mean[c] = mean[c], saved_rstd[c] = r;
    return r;
  }
};

template <class T>
struct Apply {
  Rows<const T> x, residual;
  Written<T> y;
  bool relu;
};

/// This thread's rows, at_once of them at a time. The numbers of its channels stay in shared
/// memory: registers are for what is on its way.
template <int at_once, bool with_residual, int N, class T>
KERNELS_INLINE void apply_rows(const Split& split, const Apply<T>& a, const float* mean,
                               const float* scale, const float* beta) {
  const int64_t c = own_channel<N>();
  each_row<at_once, true>(split, [&](auto count, int64_t row, int64_t step) {
    Tile<count, T, N> x, residual;
    x.load(a.x, row, step, c);
    if constexpr (with_residual) residual.load(a.residual, row, step, c);
#pragma unroll
    for (int u = 0; u < count; ++u) {
      a.y.template put<N>(row + u * step, c, split.channels, [&](int i) {
        float v = normalised(x(u, i) - mean[i], scale[i], beta[i]);
        if constexpr (with_residual) v += residual(u, i);
        return a.relu && v < 0 ? 0 : v;
      });
    }
  });
}

template <class T, int N>
__global__ void __launch_bounds__(threads, resident)
    apply_kernel(Split split, Apply<T> a, Channels channels) {
  KERNELS_SHARED(float, means, most_channels);
  KERNELS_SHARED(float, scales, most_channels);
  KERNELS_SHARED(float, betas, most_channels);
  each_channel<N>([&](int i, int64_t c) {
    const bool there = c < split.channels;  // zeros elsewhere make the zero lanes
    means[i] = there ? channels.mean[c] : 0;
    scales[i] = there ? channels.gamma[c] * channels.rstd_of(c, blockIdx.x == 0) : 0;
    betas[i] = there ? channels.beta[c] : 0;
  });
  __syncthreads();
  if (own_channel<N>() >= split.channels) return;
  const unsigned first = threadIdx.x * N;
  if (a.residual)
    apply_rows<2, true, N>(split, a, means + first, scales + first, betas + first);
  else
    apply_rows<N == 8 ? 3 : 4, false, N>(split, a, means + first, scales + first, betas + first);
}

void apply(Stream stream, const char* name, const View& x, const BatchNormEpilogue& e,
           const View& y, const Channels& channels) {
  if (!x.shape[-1]) return;
  dispatch_activation("batch_norm", x.dtype, [&]<class T>(T) {
    with_lanes<T>(takes_packs(x) && takes_packs(e.residual) && takes_packs(y), [&](auto lanes) {
      const Split split(x, lanes, resident);
      launch(name, apply_kernel<T, lanes>, split.geometry(), stream, split,
             Apply<T>{Rows<const T>(x), Rows<const T>(e.residual), Written<T>(y), e.relu},
             channels);
    });
  });
}

void statistics(Stream stream, View x, View mean, View var) {
  check_batch_norm_statistics(x, mean, var);
  take_moments(stream, "batch_norm.statistics", x,
               {.mean = data<float>(mean), .var = data<float>(var)});
}

void train_forward(Stream stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  check_batch_norm(o, x, p, e, y, true);
  const double rows = double(RowIndex(x).rows());
  take_moments(stream, "batch_norm.train_forward", x,
               {.mean = data<float>(s.mean),
                .rstd = data<float>(s.rstd),
                .running_mean = data<float>(p.running_mean),
                .running_var = data<float>(p.running_var),
                .eps = o.eps,
                .momentum = o.momentum,
                .unbiased = rows / (rows - 1)});
  apply(stream, "batch_norm.train_forward", x, e, y,
        {.gamma = data<float>(p.gamma),
         .beta = data<float>(p.beta),
         .mean = data<float>(s.mean),
         .rstd = data<float>(s.rstd)});
}

void infer_forward(Stream stream, const BatchNormOptions& o, View x, const BatchNormParameters& p,
                   const BatchNormEpilogue& e, View y, const BatchNormSaved& s) {
  check_batch_norm(o, x, p, e, y, false);
  apply(stream, "batch_norm.infer_forward", x, e, y,
        {.gamma = data<float>(p.gamma),
         .beta = data<float>(p.beta),
         .mean = data<float>(p.running_mean),
         .running_var = data<float>(p.running_var),
         .eps = float(o.eps),
         .saved_mean = data<float>(s.mean),
         .saved_rstd = data<float>(s.rstd)});
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::batch_norm

namespace kinema::kernels {

const BatchNorm KERNELS_DEVICE(batch_norm) = {.statistics = device::batch_norm::statistics,
                                              .train_forward = device::batch_norm::train_forward,
                                              .infer_forward = device::batch_norm::infer_forward,
                                              .train_grad = device::batch_norm::train_grad,
                                              .infer_grad = device::batch_norm::infer_grad};

}  // namespace kinema::kernels
