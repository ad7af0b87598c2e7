#include "kernels/layer_norm/layer_norm.h"
#include "kernels/layer_norm/layer_norm_device.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::layer_norm {

constexpr int resident = 3;  // blocks a multiprocessor: more would leave too few registers
constexpr int most_held = 32;

template <class T>
struct Forward {
  Rows<const T> x;
  Rows<T> y;
  const float *gamma, *beta;
  float *mean, *rstd;
  int64_t rows, channels;
  float eps, per_channel;  ///< 1 / channels; 0 of none
  int group;
};

/// The row's mean is `near` + `rest`: near is a first sum's, rest what the values less near still
/// have, so that a mean far from 0 swamps nothing.
struct Moments {
  float near, rest, rstd;
};

/// From the sums over a row of x - near and of its square.
template <class T>
KERNELS_INLINE Moments moments(const Forward<T>& a, float near, const float (&sums)[2]) {
  const float rest = sums[0] * a.per_channel, var = sums[1] * a.per_channel - rest * rest;
  return {near, rest, rsqrtf(max_or_nan(0.f, var) + a.eps)};
}

/// d, N elements of x - near, becomes y.
template <int N>
KERNELS_INLINE void normalise(const Moments& m, const float* gamma, const float* beta, int rest,
                              float (&d)[N]) {
  float scale[N], shift[N];
  load_part<N>(gamma, rest, 0, scale);
  load_part<N>(beta, rest, 0, shift);
#pragma unroll
  for (int k = 0; k < N; ++k) d[k] = (d[k] - m.rest) * m.rstd * scale[k] + shift[k];
}

template <class T>
KERNELS_INLINE void save(const Forward<T>& a, const Moments& m, int64_t row) {
  a.mean[row] = m.near + m.rest;
  a.rstd[row] = m.rstd;
}

/// A row stays in the registers of its group, gamma and beta in shared memory.
template <class T, int N>
__global__ void __launch_bounds__(row_threads, resident) forward_kernel(Forward<T> a) {
  constexpr int packs = held(N, most_held) / N;
  const RowGroup g(a.group);
  const int stride = g.size * N;
  float* gamma = dynamic_shared<float>();
  float* beta = gamma + round_up(a.channels, 4);
  stage(a.gamma, a.channels, 1, gamma);
  stage(a.beta, a.channels, 0, beta);
  __syncthreads();
  for (int64_t round = g.first(); round < a.rows; round += g.step()) {
    const bool live = round + g.index < a.rows;
    const int64_t row = live ? round + g.index : 0;
    const int channels = live ? int(a.channels) : 0, mine = channels - g.lane * N;
    const T* from = a.x(row) + g.lane * N;
    T* to = a.y(row) + g.lane * N;
    float x[packs][N], sum[1] = {0}, sums[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < packs; ++i) {
      load_part<N>(from + i * stride, mine - i * stride, 0, x[i]);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[0] += x[i][k];
    }
    group_sum(g, sum);
    const float near = sum[0] * a.per_channel;
#pragma unroll
    for (int i = 0; i < packs; ++i) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        x[i][k] = k < mine - i * stride ? x[i][k] - near : 0.f;
        sums[0] += x[i][k];
        sums[1] += x[i][k] * x[i][k];
      }
    }
    group_sum(g, sums);
    const Moments m = moments(a, near, sums);
    if (live && g.lane == 0) save(a, m, row);
#pragma unroll
    for (int i = 0; i < packs; ++i) {
      const int first = g.lane * N + i * stride, rest = mine - i * stride;
      normalise<N>(m, gamma + first, beta + first, rest, x[i]);
      store_part<N>(to + i * stride, rest, x[i]);
    }
  }
}

/// Rows that no block holds: read three times, from the cache if it is large enough.
template <class T, int N>
__global__ void __launch_bounds__(row_threads) forward_rereading_kernel(Forward<T> a) {
  const RowGroup g(row_threads);
  const int64_t first = int64_t(threadIdx.x) * N, step = int64_t(row_threads) * N;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* from = a.x(row);
    float x[N], sum[1] = {0}, sums[2] = {0, 0};
    for (int64_t c = first; c < a.channels; c += step) {
      load_part<N>(from + c, rest_of<N>(c, a.channels), 0, x);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[0] += x[k];
    }
    group_sum(g, sum);
    const float near = sum[0] * a.per_channel;
    for (int64_t c = first; c < a.channels; c += step) {
      load_part<N>(from + c, rest_of<N>(c, a.channels), near, x);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sums[0] += x[k] - near;
        sums[1] += (x[k] - near) * (x[k] - near);
      }
    }
    group_sum(g, sums);
    const Moments m = moments(a, near, sums);
    if (threadIdx.x == 0) save(a, m, row);
    for (int64_t c = first; c < a.channels; c += step) {
      const int rest = rest_of<N>(c, a.channels);
      load_part<N>(from + c, rest, 0, x);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float gamma = k < rest ? parameter(a.gamma, c + k, 1) : 0.f,
                    beta = k < rest ? parameter(a.beta, c + k, 0) : 0.f;
        x[k] = ((x[k] - m.near) - m.rest) * m.rstd * gamma + beta;
      }
      store_part<N>(a.y(row) + c, rest, x);
    }
  }
}

void forward(Stream stream, const LayerNormOptions& o, View x, const LayerNormParameters& p, View y,
             const LayerNormSaved& s) {
  check_layer_norm(o, x, p, y, s);
  const int64_t rows = layer_norm_rows(x), channels = x.shape[-1];
  if (!rows) return;
  dispatch_activation("layer_norm", x.dtype, [&]<class T>(T) {
    with_lanes<T>(packs_or_clear(stream, {x}, y), [&](auto lanes) {
      const RowPlan plan = plan_rows(rows, channels, lanes, held(lanes, most_held), resident);
      const Forward<T> a{Rows<const T>(x),
                         Rows<T>(y),
                         p.gamma ? data<const float>(p.gamma) : nullptr,
                         p.beta ? data<const float>(p.beta) : nullptr,
                         data<float>(s.mean),
                         data<float>(s.rstd),
                         rows,
                         channels,
                         float(o.eps),
                         channels ? float(1 / double(channels)) : 0.f,
                         plan.group};
      launch("layer_norm.forward",
             plan.in_registers ? forward_kernel<T, lanes> : forward_rereading_kernel<T, lanes>,
             {.grid = plan.grid,
              .block = row_threads,
              .shared_bytes = plan.in_registers ? 2 * 4 * round_up(channels, 4) : 0},
             stream, a);
    });
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::layer_norm

namespace kinema::kernels {

const LayerNorm KERNELS_DEVICE(layer_norm) = {.forward = device::layer_norm::forward,
                                              .grad = device::layer_norm::grad};

}  // namespace kinema::kernels
