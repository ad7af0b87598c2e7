#include "kernels/device/rows.h"
#include "kernels/local_response_norm/local_response_norm.h"

// A block of (columns, height) threads holds `height` rows at a time, a thread a pack of N channels
// of each. What windows sum lies in shared memory, one plane for each lane of a pack: neighbours of
// a warp then read neighbouring words. Windows are summed afresh: a running sum would keep the
// rounding errors of large channels.
namespace kinema::kernels::device::inline KERNELS_TWIN::local_response_norm {

constexpr int threads = 256;
constexpr int resident = 3;  // blocks of a multiprocessor: with 80 registers a thread

/// How rows are dealt out. Those of more packs than a block has threads are cut into tiles, which
/// overlap by what an output depends on: `halo` packs on each side.
struct Split {
  Split(const View& x, int lanes, int at_once, int64_t reach);
  Geometry geometry() const {
    return {.grid = dim3(blocks, tiles), .block = dim3(columns, height)};
  }

  /// This thread's first channel, and whether it is one of the row, and its own to write.
  template <int N>
  KERNELS_INLINE int64_t channel() const {
    return (int64_t(blockIdx.y) * inner + threadIdx.x - halo) * N;
  }
  KERNELS_INLINE bool in_row(int64_t c) const { return c >= 0 && c < channels; }
  KERNELS_INLINE bool writes(int64_t c) const {
    return in_row(c) && threadIdx.x >= unsigned(halo) && threadIdx.x < unsigned(halo + inner);
  }
  /// The first of this thread's rows in the block's round that starts at row `first`.
  KERNELS_INLINE int64_t row(int64_t first, int u) const {
    return first + int64_t(u) * blockDim.y + threadIdx.y;
  }

  int64_t rows, channels;
  int halo, inner;
  unsigned blocks, tiles, columns, height;
};

inline Split::Split(const View& x, int lanes, int at_once, int64_t reach)
    : rows(RowIndex(x).rows()), channels(x.shape[-1]) {
  const auto per = [](int64_t n, int64_t d) { return (n + d - 1) / d; };
  const int64_t packs = per(channels, lanes);
  const bool cut = packs > threads;
  halo = cut ? int(per(reach, lanes)) : 0;
  inner = cut ? threads - 2 * halo : int(packs);
  columns = unsigned(inner + 2 * halo);
  tiles = unsigned(per(packs, inner));
  height = threads / columns;
  blocks =
      unsigned(std::clamp<int64_t>(per(rows, int64_t(height) * at_once), 1,
                                   std::max<int64_t>(1, gpu().multiprocessors * resident / tiles)));
}

struct Numbers {
  float k, alpha, beta;
  int half;  ///< of the window: channels on each side

  /// s^-beta; exponents other than 1/2 and 3/4 by logarithms, whose error is |log2 s| / 4 units in
  /// the last place.
  KERNELS_INLINE float power(float s) const {
    const float root = rsqrtf(s);
    if (beta == 0.5f) return root;
    if (beta == 0.75f) return root * sqrtf(root);
    return exp2f(-beta * log2f(s));
  }
};

/// sum[i] = the sum over the window of lane i of this thread's pack, from planes [N][threads].
template <int N>
KERNELS_INLINE void window(const float* planes, int half, float (&sum)[N]) {
  const int column = int(threadIdx.x), columns = int(blockDim.x);
  const float* const here = planes + threadIdx.y * blockDim.x + threadIdx.x;
  float own[N];
#pragma unroll
  for (int i = 0; i < N; ++i) sum[i] = own[i] = here[i * threads];
#pragma unroll
  for (int d = 1; d < N; ++d) {
    if (d > half) break;
#pragma unroll
    for (int i = 0; i + d < N; ++i) {
      sum[i] += own[i + d];
      sum[i + d] += own[i];
    }
  }
  // The packs m to the left and to the right; lane l of the left one lies m N + i - l before lane
  // i, and the right one is its mirror image.
  for (int m = 1; (m - 1) * N < half; ++m) {
#pragma unroll
    for (int l = N - 1; l >= 0; --l) {
      if (m * N - l > half) break;
      const float left = column >= m ? here[l * threads - m] : 0;
      const float right = column + m < columns ? here[(N - 1 - l) * threads + m] : 0;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        if (m * N + i - l > half) break;
        sum[i] += left;
        sum[N - 1 - i] += right;
      }
    }
  }
}

/// This thread's lane i of the planes.
KERNELS_INLINE float& lane(float* planes, int i) {
  return planes[i * threads + int(threadIdx.y * blockDim.x + threadIdx.x)];
}

/// The pack at channel c of a row; zeros where there is none.
template <int N, class T>
KERNELS_INLINE Pack<T, N> load(const Split& split, const Rows<const T>& from, int64_t row,
                               int64_t c) {
  Pack<T, N> pack{};
  if (split.in_row(c) && row < split.rows) pack = load_pack<N>(from(row) + c);
  return pack;
}

constexpr int forward_at_once = 4, grad_at_once = 2;

template <class T, int N>
__global__ void __launch_bounds__(threads, resident)
    forward_kernel(Split split, Numbers numbers, Rows<const T> x, Written<T> y) {
  constexpr int U = forward_at_once;
  KERNELS_SHARED(float, squares, U* N* threads);
  const int64_t c = split.channel<N>(), step = int64_t(gridDim.x) * blockDim.y * U;
  for (int64_t first = int64_t(blockIdx.x) * blockDim.y * U; first < split.rows; first += step) {
    Pack<T, N> pack[U];
#pragma unroll
    for (int u = 0; u < U; ++u) pack[u] = load<N>(split, x, split.row(first, u), c);
#pragma unroll
    for (int u = 0; u < U; ++u) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float v = to_float(pack[u].lane[i]);
        lane(squares + u * N * threads, i) = v * v;
      }
    }
    __syncthreads();
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int64_t row = split.row(first, u);
      if (!split.writes(c) || row >= split.rows) continue;
      float sum[N];
      window<N>(squares + u * N * threads, numbers.half, sum);
      y.template put<N>(row, c, split.channels, [&](int i) {
        return to_float(pack[u].lane[i]) * numbers.power(numbers.k + numbers.alpha * sum[i]);
      });
    }
    __syncthreads();
  }
}

template <class T, int N>
__global__ void __launch_bounds__(threads, resident)
    grad_kernel(Split split, Numbers numbers, Rows<const T> x, Rows<const T> dy, Written<T> dx) {
  constexpr int U = grad_at_once;
  KERNELS_SHARED(float, squares, U* N* threads);
  KERNELS_SHARED(float, shares, U* N* threads);  // dy x s^-(beta + 1)
  const float factor = 2 * numbers.alpha * numbers.beta;
  const int64_t c = split.channel<N>(), step = int64_t(gridDim.x) * blockDim.y * U;
  for (int64_t first = int64_t(blockIdx.x) * blockDim.y * U; first < split.rows; first += step) {
    Pack<T, N> a[U], g[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      a[u] = load<N>(split, x, split.row(first, u), c);
      g[u] = load<N>(split, dy, split.row(first, u), c);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float v = to_float(a[u].lane[i]);
        lane(squares + u * N * threads, i) = v * v;
      }
    }
    __syncthreads();
    float power[U][N];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      float sum[N];
      window<N>(squares + u * N * threads, numbers.half, sum);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float s = numbers.k + numbers.alpha * sum[i];
        power[u][i] = numbers.power(s);
        lane(shares + u * N * threads, i) =
            to_float(g[u].lane[i]) * to_float(a[u].lane[i]) * __fdividef(power[u][i], s);
      }
    }
    __syncthreads();
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int64_t row = split.row(first, u);
      if (!split.writes(c) || row >= split.rows) continue;
      float sum[N];
      window<N>(shares + u * N * threads, numbers.half, sum);
      dx.template put<N>(row, c, split.channels, [&](int i) {
        return to_float(g[u].lane[i]) * power[u][i] - factor * to_float(a[u].lane[i]) * sum[i];
      });
    }
  }
}

/// The options as kernels take them. A window reaches no farther than a row does.
Numbers numbers_of(const LocalResponseNormOptions& o, const View& x) {
  const int64_t channels = x.shape[-1], half = std::min(o.n / 2, channels - 1);
  check(half <= 63 || channels <= threads,
        "local_response_norm: on a GPU n must be at most 127 where there are more than ", threads,
        " channels, got n ", o.n, " and ", channels, " channels");
  return {float(o.k), float(o.alpha), float(o.beta), int(half)};
}

void forward(Stream stream, const LocalResponseNormOptions& o, View x, View y) {
  check_local_response_norm(o, x, y);
  if (!x.size()) return;
  const Numbers numbers = numbers_of(o, x);
  dispatch_activation("local_response_norm", x.dtype, [&]<class T>(T) {
    with_lanes<T>(takes_packs(x) && takes_packs(y), [&](auto lanes) {
      const Split split(x, lanes, forward_at_once, numbers.half);
      launch("local_response_norm.forward", forward_kernel<T, lanes>, split.geometry(), stream,
             split, numbers, Rows<const T>(x), Written<T>(y));
    });
  });
}

void grad(Stream stream, const LocalResponseNormOptions& o, View x, View dy, View dx,
          bool accumulate) {
  check_local_response_norm(o, x, dy);
  check_local_response_norm(o, x, dx);
  if (!x.size()) return;
  const Numbers numbers = numbers_of(o, x);
  dispatch_activation("local_response_norm", x.dtype, [&]<class T>(T) {
    with_lanes<T>(takes_packs(x) && takes_packs(dy) && takes_packs(dx), [&](auto lanes) {
      const int64_t halo = round_up(numbers.half, lanes);  // of what is needed of the shares
      const Split split(x, lanes, grad_at_once, halo + numbers.half);
      launch("local_response_norm.grad", grad_kernel<T, lanes>, split.geometry(), stream, split,
             numbers, Rows<const T>(x), Rows<const T>(dy), Written<T>(dx, accumulate));
    });
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::local_response_norm

namespace kinema::kernels {

const LocalResponseNorm KERNELS_DEVICE(local_response_norm) = {
    .forward = device::local_response_norm::forward, .grad = device::local_response_norm::grad};

}  // namespace kinema::kernels
