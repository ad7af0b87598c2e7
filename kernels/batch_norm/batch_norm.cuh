#pragma once
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/device/rows.h"

// What the two sources of device code share: how rows are dealt out, and how blocks add up.
namespace kinema::kernels::device::inline KERNELS_TWIN::batch_norm {

constexpr int threads = 256;
constexpr int most_channels = 512;  // of a block, whose parameters lie in shared memory

/// How M rows of C channels are dealt out, to as many blocks as `resident` full ones a
/// multiprocessor. A block of (columns, height) threads takes a chunk of rows (blockIdx.x) of a
/// tile of channels (blockIdx.y); a thread owns a pack of channels and goes down every height-th
/// row. So warps read neighbouring packs, and neighbouring rows where these are short.
struct Split {
  Split(const View& x, int lanes, int resident);
  Geometry geometry() const {
    return {.grid = dim3(blocks, tiles), .block = dim3(columns, height)};
  }

  /// Rows [begin(k), end(k)) are those of chunk k.
  KERNELS_BOTH int64_t begin(int64_t k) const { return k * chunk; }
  KERNELS_BOTH int64_t end(int64_t k) const {
    return begin(k) + chunk < rows ? begin(k) + chunk : rows;
  }

  int64_t rows, channels, chunk;
  double share;  ///< 1 / rows
  unsigned blocks, tiles, columns, height;
};

inline Split::Split(const View& x, int lanes, int resident)
    : rows(RowIndex(x).rows()), channels(x.shape[-1]) {
  const auto per = [](int64_t n, int64_t d) { return (n + d - 1) / d; };
  const int64_t packs = per(channels, lanes);
  const int64_t widest = std::min<int64_t>(threads, most_channels / lanes);
  tiles = unsigned(per(packs, widest));
  columns = unsigned(per(packs, tiles));
  height = unsigned(threads / columns);
  // As many as run at once, so that none waits for another to end.
  const int64_t at_once =
      int64_t(gpu().multiprocessors) * resident * threads / round_up(int64_t(columns) * height, 32);
  const int64_t step = int64_t(height) * 4, steps = per(rows, step);
  const int64_t most = std::clamp<int64_t>(at_once / tiles, 1, std::max<int64_t>(1, steps));
  chunk = step * std::max<int64_t>(1, per(steps, most));
  blocks = unsigned(std::max<int64_t>(1, per(rows, chunk)));
  share = 1 / double(rows);
}

/// The first of this thread's N channels.
template <int N>
KERNELS_INLINE int64_t own_channel() {
  return (int64_t(blockIdx.y) * blockDim.x + threadIdx.x) * N;
}

/// f(i, c) for each channel c of the tile, the i-th of it, in some thread of the block. Channels
/// that round up the last pack or tile are among them.
template <int N, class F>
KERNELS_INLINE void each_channel(F f) {
  const int count = int(blockDim.x) * N;
  const int64_t first = int64_t(blockIdx.y) * count;
  for (int i = int(threadIdx.y * blockDim.x + threadIdx.x); i < count;
       i += int(blockDim.x * blockDim.y))
    f(i, first + i);
}

/// This thread's N of a number a channel that each_channel put into shared memory.
template <int N>
KERNELS_INLINE void take_own(const float* shared, float (&to)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = shared[threadIdx.x * N + unsigned(i)];
}

/// f(U, row, step) for this thread's rows of the block's chunk, U of them at a time: row, row +
/// step, ... U is a constant. Second passes go backwards, from what the first has left in the
/// cache.
template <int at_once, bool backwards, class F>
KERNELS_INLINE void each_row(const Split& split, F f) {
  const int64_t begin = split.begin(blockIdx.x), end = split.end(blockIdx.x);
  const int64_t step = backwards ? -int64_t(blockDim.y) : int64_t(blockDim.y);
  int64_t row = backwards ? end - 1 - threadIdx.y : begin + threadIdx.y;
  int64_t left = (end - begin - threadIdx.y + blockDim.y - 1) / blockDim.y;
  for (; left >= at_once; left -= at_once, row += at_once * step)
    f(std::integral_constant<int, at_once>(), row, step);
  for (; left > 0; --left, row += step) f(std::integral_constant<int, 1>(), row, step);
}

/// The packs at channel c of U rows. They become f32 when they are used, not sooner: so loads do
/// not wait for one another, and take few registers.
template <int U, class T, int N>
struct Tile {
  Pack<T, N> of_row[U] = {};

  KERNELS_INLINE void load(const Rows<const T>& from, int64_t row, int64_t step, int64_t c) {
#pragma unroll
    for (int u = 0; u < U; ++u) of_row[u] = load_pack<N>(from(row + u * step) + c);
  }
  KERNELS_INLINE float operator()(int u, int i) const { return to_float(of_row[u].lane[i]); }
};

/// What a block has summed up of a channel.
struct alignas(8) Partial {
  float first, second;
};
/// Where: [channel][chunk], so that who adds them up reads neighbours.
template <int N>
KERNELS_INLINE void put_partials(const Split& split, Partial* to, const float (&first)[N],
                                 const float (&second)[N]) {
  const int64_t c = own_channel<N>();
  if (threadIdx.y) return;
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (c + i < split.channels) to[(c + i) * gridDim.x + blockIdx.x] = {first[i], second[i]};
}

/// Merges what the threads of a column hold into that of the first: a tree, so its order is fixed.
/// P has an odd number of words, so that columns lie in different banks.
template <class P>
KERNELS_INLINE void merge_columns(P& mine) {
  KERNELS_SHARED(P, all, threads);
  P* const here = all + threadIdx.y * blockDim.x + threadIdx.x;
  *here = mine;
  for (unsigned left = blockDim.y; left > 1;) {
    const unsigned half = (left + 1) / 2;
    __syncthreads();
    if (threadIdx.y + half < left) {
      mine.merge(here[half * blockDim.x]);
      *here = mine;
    }
    left = half;
  }
}

/// The sums over a channel's chunks of what f(partial, chunk) gives, in each thread of a block that
/// is the channel's own.
struct Totals {
  double first, second;
};
constexpr int finishing_threads = 128;
template <class F>
KERNELS_INLINE Totals sum_chunks(const Partial* partials, int64_t chunks, F f) {
  double first = 0, second = 0;
#pragma unroll 4
  for (int64_t k = threadIdx.x; k < chunks; k += finishing_threads) {
    const Totals t = f(partials[k], k);
    first += t.first;
    second += t.second;
  }
  return {block_sum<finishing_threads>(first), block_sum<finishing_threads>(second)};
}
inline Geometry finishing(const Split& split) {
  return {.grid = blocks_for(split.channels * finishing_threads, finishing_threads),
          .block = finishing_threads};
}

/// The output before residual and ReLU. Forward and backward must round alike, or the ReLU's mask
/// would differ: that the multiply-add is fused is said here, not left to the compiler.
KERNELS_INLINE float normalised(float centred, float scale, float beta) {
  return fmaf(centred, scale, beta);
}

void train_grad(Stream, const BatchNormKept&, View dy, const BatchNormTargets&);
void infer_grad(Stream, const BatchNormKept&, View dy, const BatchNormTargets&);

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::batch_norm
