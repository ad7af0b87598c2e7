#include "kernels/layer_norm/layer_norm_device.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::layer_norm {

constexpr int resident = 2;    // blocks a multiprocessor: more would leave too few registers
constexpr int most_held = 16;  // of x and dy each, and so many of dgamma and dbeta

template <class T>
struct Grad {
  Rows<const T> x, dy;
  Rows<T> dx;
  const float *gamma, *mean, *rstd;
  float* means;     ///< [rows][2], of g and g * xhat; where a row is not held
  float* partials;  ///< [blocks][2][channels], of dgamma and dbeta; null if not wanted
  int64_t rows, channels;
  float per_channel;  ///< 1 / channels
  int group;
  bool accumulate;
};

/// The N elements of dx at `to`, of which `rest` are there, = rstd * (g - means[0] - xhat *
/// means[1]), or that is added to them.
template <int N, class T>
KERNELS_INLINE void store_dx(T* to, int rest, bool accumulate, float rstd, const float (&means)[2],
                             const float (&g)[N], const float (&xhat)[N]) {
  float dx[N] = {};
  if (accumulate) load_part<N>(to, rest, 0, dx);
#pragma unroll
  for (int k = 0; k < N; ++k) dx[k] += rstd * (g[k] - means[0] - xhat[k] * means[1]);
  store_part<N>(to, rest, dx);
}

/// Adds up what the groups of a block have of dgamma or dbeta, in their order, and stores it.
/// `shared` takes one number a thread and element held.
template <int N, int packs>
KERNELS_INLINE void store_partial(const RowGroup& g, const float (&sums)[packs][N], float* shared,
                                  int64_t channels, float* partial) {
  const int capacity = g.size * packs * N;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < packs; ++i) {
#pragma unroll
    for (int k = 0; k < N; ++k)
      shared[g.index * capacity + (i * g.size + g.lane) * N + k] = sums[i][k];
  }
  __syncthreads();
  for (int64_t c = threadIdx.x; c < channels; c += row_threads) {
    float sum = shared[c];
    for (int i = 1; i < g.at_once(); ++i) sum += shared[i * capacity + c];
    partial[c] = sum;
  }
}

/// A row stays in the registers of its group, with the group's dgamma and dbeta; gamma in shared
/// memory.
template <class T, int N>
__global__ void __launch_bounds__(row_threads, resident) grad_kernel(Grad<T> a) {
  constexpr int packs = held(N, most_held) / N;
  const RowGroup g(a.group);
  const int stride = g.size * N;
  float dgamma[packs][N] = {}, dbeta[packs][N] = {};
  float* shared = dynamic_shared<float>();
  stage(a.gamma, a.channels, 1, shared);
  __syncthreads();
  for (int64_t round = g.first(); round < a.rows; round += g.step()) {
    const bool live = round + g.index < a.rows;
    const int64_t row = live ? round + g.index : 0;
    const int mine = (live ? int(a.channels) : 0) - g.lane * N;
    const T *from = a.x(row) + g.lane * N, *of = a.dy(row) + g.lane * N;
    T* to = a.dx ? a.dx(row) + g.lane * N : nullptr;
    float x[packs][N], dy[packs][N], means[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < packs; ++i) {
      load_part<N>(from + i * stride, mine - i * stride, 0, x[i]);
      load_part<N>(of + i * stride, mine - i * stride, 0, dy[i]);
    }
    const float mean = load_for_group(g, a.mean + row, live),
                rstd = load_for_group(g, a.rstd + row, live);
#pragma unroll
    for (int i = 0; i < packs; ++i) {
      float gamma[N];
      load_part<N>(shared + g.lane * N + i * stride, mine - i * stride, 0, gamma);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        x[i][k] = (x[i][k] - mean) * rstd;
        dgamma[i][k] += dy[i][k] * x[i][k];
        dbeta[i][k] += dy[i][k];
        dy[i][k] *= gamma[k];
        means[0] += dy[i][k];
        means[1] += dy[i][k] * x[i][k];
      }
    }
    group_sum(g, means);
    means[0] *= a.per_channel;
    means[1] *= a.per_channel;
    if (!to) continue;
#pragma unroll
    for (int i = 0; i < packs; ++i)
      store_dx<N>(to + i * stride, mine - i * stride, a.accumulate, rstd, means, dy[i], x[i]);
  }
  if (!a.partials) return;
  float* partial = a.partials + int64_t(blockIdx.x) * 2 * a.channels;
  store_partial(g, dgamma, shared, a.channels, partial);
  store_partial(g, dbeta, shared, a.channels, partial + a.channels);
}

/// means of rows that no block holds.
template <class T, int N>
__global__ void __launch_bounds__(row_threads) row_means_kernel(Grad<T> a) {
  const RowGroup g(row_threads);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const float mean = a.mean[row], rstd = a.rstd[row];
    float sums[2] = {0, 0};
    for (int64_t c = int64_t(threadIdx.x) * N; c < a.channels; c += int64_t(row_threads) * N) {
      float x[N], dy[N];
      const int rest = rest_of<N>(c, a.channels);
      load_part<N>(a.x(row) + c, rest, 0, x);
      load_part<N>(a.dy(row) + c, rest, 0, dy);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float grad = k < rest ? dy[k] * parameter(a.gamma, c + k, 1) : 0.f;
        sums[0] += grad;
        sums[1] += grad * ((x[k] - mean) * rstd);
      }
    }
    group_sum(g, sums);
    if (threadIdx.x == 0) {
      a.means[2 * row] = sums[0] * a.per_channel;
      a.means[2 * row + 1] = sums[1] * a.per_channel;
    }
  }
}

/// dx, dgamma and dbeta from the means: blockIdx.y takes every gridDim.y-th row, and of it as many
/// channels as its threads hold.
template <class T, int N>
__global__ void __launch_bounds__(row_threads) grad_from_means_kernel(Grad<T> a) {
  const int64_t first = first_index() * N;
  if (first >= a.channels) return;
  const int rest = rest_of<N>(first, a.channels);
  float gamma[N], dgamma[N] = {}, dbeta[N] = {};
#pragma unroll
  for (int k = 0; k < N; ++k) gamma[k] = k < rest ? parameter(a.gamma, first + k, 1) : 0.f;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const float mean = a.mean[row], rstd = a.rstd[row],
                means[2] = {a.means[2 * row], a.means[2 * row + 1]};
    float x[N], dy[N];
    load_part<N>(a.x(row) + first, rest, 0, x);
    load_part<N>(a.dy(row) + first, rest, 0, dy);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      x[k] = (x[k] - mean) * rstd;
      dgamma[k] += dy[k] * x[k];
      dbeta[k] += dy[k];
      dy[k] *= gamma[k];
    }
    if (a.dx) store_dx<N>(a.dx(row) + first, rest, a.accumulate, rstd, means, dy, x);
  }
  if (!a.partials) return;
  float* partial = a.partials + int64_t(blockIdx.y) * 2 * a.channels;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (k >= rest) break;
    partial[first + k] = dgamma[k];
    partial[a.channels + first + k] = dbeta[k];
  }
}

constexpr int columns = 32, strips = 8;

/// Adds up partials over blocks: first in strips of every eighth block.
__global__ void __launch_bounds__(columns* strips)
    merge_kernel(const float* partials, int64_t blocks, int64_t channels, float* dgamma,
                 bool add_dgamma, float* dbeta, bool add_dbeta) {
  KERNELS_SHARED(float, sums, columns* strips);
  const int column = int(threadIdx.x) % columns, strip = int(threadIdx.x) / columns;
  const int64_t at = int64_t(blockIdx.x) * columns + column, all = 2 * channels;
  float sum = 0;
#pragma unroll 8
  for (int64_t b = strip; at < all && b < blocks; b += strips) sum += partials[b * all + at];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (strip || at >= all) return;
  for (int s = 1; s < strips; ++s) sum += sums[s * columns + column];
  float* to = at < channels ? dgamma : dbeta;
  if (!to) return;
  to += at < channels ? at : at - channels;
  *to = (at < channels ? add_dgamma : add_dbeta) ? *to + sum : sum;
}

/// One launch of the kernels above.
template <class T, int N>
void run(Stream stream, Grad<T> a, const LayerNormTargets& to) {
  const RowPlan plan = plan_rows(a.rows, a.channels, N, held(N, most_held), resident);
  const int64_t tiles =
      plan.in_registers ? 1 : (a.channels + row_threads * N - 1) / (row_threads * N);
  // Partials cost 16 bytes a block and channel beside 6 or more a row: each block takes many rows.
  const int64_t most = std::max<int64_t>(1, resident * gpu().multiprocessors / tiles);
  const int64_t blocks = std::clamp<int64_t>(a.rows / 32, 1, most);
  const bool sums = to.dgamma || to.dbeta;
  const Workspace partials(stream, sums ? blocks * 2 * a.channels * 4 : 0);
  const Workspace means(stream, plan.in_registers ? 0 : a.rows * 2 * 4);
  a.partials = sums ? partials.data<float>() : nullptr;
  a.means = means.data<float>();
  a.group = plan.group;
  if (plan.in_registers) {
    launch("layer_norm.grad", grad_kernel<T, N>,
           {.grid = dim3(unsigned(blocks)),
            .block = row_threads,
            .shared_bytes = 4 * row_threads * held(N, most_held)},
           stream, a);
  } else {
    launch("layer_norm.grad.means", row_means_kernel<T, N>,
           {.grid = plan.grid, .block = row_threads}, stream, a);
    launch("layer_norm.grad", grad_from_means_kernel<T, N>,
           {.grid = dim3(unsigned(tiles), unsigned(blocks)), .block = row_threads}, stream, a);
  }
  if (!sums) return;
  const auto gradient = [](const LayerNormTarget& t) { return t ? data<float>(t.view) : nullptr; };
  launch(
      "layer_norm.grad.merge", merge_kernel,
      {.grid = dim3(unsigned((2 * a.channels + columns - 1) / columns)), .block = columns * strips},
      stream, partials.data<float>(), blocks, a.channels, gradient(to.dgamma), to.dgamma.accumulate,
      gradient(to.dbeta), to.dbeta.accumulate);
}

void grad(Stream stream, const LayerNormKept& k, View dy, const LayerNormTargets& to) {
  check_layer_norm_grad(k, dy, to);
  if (!k.x.shape[-1]) return;
  dispatch_activation("layer_norm", k.x.dtype, [&]<class T>(T) {
    const Grad<T> a{.x = Rows<const T>(k.x),
                    .dy = Rows<const T>(dy),
                    .dx = Rows<T>(to.dx.view),
                    .gamma = k.gamma ? data<const float>(k.gamma) : nullptr,
                    .mean = data<const float>(k.mean),
                    .rstd = data<const float>(k.rstd),
                    .means = nullptr,
                    .partials = nullptr,
                    .rows = layer_norm_rows(k.x),
                    .channels = k.x.shape[-1],
                    .per_channel = float(1 / double(k.x.shape[-1])),
                    .group = 1,
                    .accumulate = to.dx.accumulate};
    with_lanes<T>(packs_or_clear(stream, {k.x, dy}, to.dx.view),
                  [&](auto lanes) { run<T, lanes>(stream, a, to); });
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::layer_norm
