#pragma once
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_tile.cuh"
#include "kernels/device/rows.h"

// What becomes of a tile of sums: the epilogues of forward and grad_input, and sums that are
// divided among several blocks.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// A block's tile of results, its sums in shared memory. A kernel may have other numbers of rows
/// and threads than the general ones.
struct ResultTile {
  static constexpr int threads = 128, most_rows = 128;  ///< of the general kernels

  SumTile sums;
  int workers;       ///< threads of the block
  int64_t* pixels;   ///< [room], shared: which row of the result's tensor each row is
  float* parts;      ///< [a warp][columns], shared
  int rows;          ///< that are there
  int channel, end;  ///< of the tile's first column; behind the last of its group
  int64_t entry;     ///< the tile's place in partials or sums

  /// Bytes of shared memory from `memory` on, where there is room for `room` rows.
  KERNELS_BOTH static constexpr int64_t bytes(int columns, int room = most_rows,
                                              int workers = threads) {
    return int64_t(columns) * (room + workers / 32) * 4 + room * 8;
  }
  KERNELS_INLINE ResultTile(char* memory, int columns, int room = most_rows, int workers_ = threads)
      : workers(workers_) {
    sums = {reinterpret_cast<float*>(memory), columns};
    parts = sums.data + room * columns;
    pixels = reinterpret_cast<int64_t*>(parts + workers / 32 * columns);
  }
};

KERNELS_INLINE int least(int a, int b, int c) {
  const int ab = a < b ? a : b;
  return ab < c ? ab : c;
}

/// The columns of a tile that a thread has: N side by side, of every step()-th row; none where 96
/// columns leave threads over.
template <int N>
struct ColumnShare {
  int packs, column, channel, rest, first_row, workers;

  KERNELS_INLINE explicit ColumnShare(const ResultTile& tile)
      : packs((tile.sums.columns > 64 ? 128 : tile.sums.columns) / N),
        column(int(threadIdx.x) % packs * N),
        channel(tile.channel + column),
        rest(least(N, tile.end - channel, tile.sums.columns - column)),
        first_row(int(threadIdx.x) / packs),
        workers(tile.workers) {}
  KERNELS_INLINE int step() const { return workers / packs; }

  /// v[i] = what `all` holds for the channel, `none` where there is neither.
  KERNELS_INLINE void load(const float* all, float none, float (&v)[N]) const {
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = all && i < rest ? all[channel + i] : none;
  }
  /// v[i] = its sum over the threads that have the same columns, in a fixed order.
  KERNELS_INLINE void sum(const ResultTile& tile, float (&v)[N]) const {
    for (int other = packs; other < 32; other *= 2) {
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += __shfl_xor_sync(all_lanes, v[i], other);
    }
    const bool inside = column < tile.sums.columns;
    if (inside && int(threadIdx.x) % 32 < packs) {
#pragma unroll
      for (int i = 0; i < N; ++i)
        tile.parts[int(threadIdx.x) / 32 * tile.sums.columns + column + i] = v[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; ++i) {
      v[i] = 0;
      for (int w = 0; inside && w < workers / 32; ++w)
        v[i] += tile.parts[w * tile.sums.columns + column + i];
    }
    __syncthreads();
  }
};

/// What an epilogue leaves of each tile: partials or sums, rows of channels.
struct TileRows {
  TileRows() = default;
  explicit TileRows(const View& v)
      : base(v ? data<float>(v) : nullptr), entry(v.stride(0)), row(v.stride(1)), tail(v.tail) {}
  KERNELS_INLINE explicit operator bool() const { return base != nullptr; }
  /// Row `number` of the tile's entry = v; by one thread a column, behind the last channel zeros.
  template <int N>
  KERNELS_INLINE void store(const ResultTile& tile, const ColumnShare<N>& share, int number,
                            int64_t channels, const float (&v)[N]) const {
    if (share.first_row != 0 || share.rest <= 0) return;
    float* const to = base + tile.entry * entry + number * row + share.channel;
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < share.rest) to[i] = v[i];
    if (share.channel + share.rest == channels)
      for (int64_t k = 0; k < tail; ++k) to[share.rest + k] = 0;
  }

  float* base = nullptr;
  int64_t entry = 0, row = 0, tail = 0;
};

/// A tensor of the shape of the result, which is read or written in packs of 16 bytes if `packs`.
template <class T>
struct ResultRows {
  static constexpr int lanes = pack_lanes<std::remove_const_t<T>>;
  using Share = ColumnShare<lanes>;

  ResultRows() = default;
  ResultRows(const View& v, bool packs_)
      : rows(v), channels(v ? v.shape[-1] : 0), tail(v.tail), packs(packs_) {}
  KERNELS_INLINE explicit operator bool() const { return bool(rows); }
  KERNELS_INLINE void load(int64_t pixel, const Share& share, float (&v)[lanes]) const {
    const auto pack =
        load_lanes<lanes>(rows(pixel) + share.channel, packs ? lanes : share.rest, packs);
#pragma unroll
    for (int i = 0; i < lanes; ++i) v[i] = to_float(pack.lane[i]);
  }
  /// Stores v, rounded, zeros behind the last channel; v becomes what is stored.
  KERNELS_INLINE void store(int64_t pixel, const Share& share, float (&v)[lanes]) const {
    Pack<T, lanes> pack;
#pragma unroll
    for (int i = 0; i < lanes; ++i) {
      pack.lane[i] = from_float<T>(i < share.rest ? v[i] : 0.f);
      v[i] = to_float(pack.lane[i]);
    }
    T* const to = rows(pixel) + share.channel;
    store_lanes<lanes>(to, pack, packs ? lanes : share.rest, packs);
    if (!packs && share.channel + share.rest == channels)
      for (int64_t k = 0; k < tail; ++k) to[share.rest + k] = from_float<T>(0);
  }

  Rows<T> rows;
  int64_t channels = 0, tail = 0;
  bool packs = false;
};

/// True if results of `group_channels` channels a group may be read and written in packs.
inline bool results_take_packs(std::initializer_list<View> views, int64_t group_channels) {
  bool packs = true;
  for (const View& v : views)
    packs &= takes_packs(v) &&
             (!v || group_channels == v.shape[-1] || group_channels % (16 / size_of(v.dtype)) == 0);
  return packs;
}

/// f(row, pixel, v) for each of the thread's rows, v being its sums; then stores v in `to`, and in
/// place of the sums if `keep`.
template <class T, class F>
KERNELS_INLINE void store_rows(const ResultTile& tile, const ColumnShare<pack_lanes<T>>& share,
                               const ResultRows<T>& to, bool keep, F f) {
  constexpr int lanes = pack_lanes<T>;
  if (share.rest <= 0) return;
#pragma unroll 2
  for (int row = share.first_row; row < tile.rows; row += share.step()) {
    float* const sums = tile.sums.at(row, share.column);
    const int64_t pixel = tile.pixels[row];
    float v[lanes];
#pragma unroll
    for (int i = 0; i < lanes; i += 4) {
      const Pack<float, 4> four = load_pack<4>(sums + i);
#pragma unroll
      for (int k = 0; k < 4; ++k) v[i + k] = four.lane[k];
    }
    f(pixel, v);
    to.store(pixel, share, v);
    if (!keep) continue;
#pragma unroll
    for (int i = 0; i < lanes; i += 4)
      store_pack<4>(sums + i, Pack<float, 4>{{v[i], v[i + 1], v[i + 2], v[i + 3]}});
  }
}

/// The epilogue of forward: Conv3dEpilogue for device code.
template <class T>
struct ForwardFinish {
  static constexpr bool phased = false;  ///< pixels are the result's in order
  static constexpr int lanes = pack_lanes<T>;

  ForwardFinish() = default;
  ForwardFinish(const View& y_, const Conv3dOptions& o, const Conv3dEpilogue& e) {
    const bool packs = results_take_packs({y_, e.residual}, y_.shape[-1] / o.groups);
    y = {y_, packs};
    residual = {e.residual, packs};
    bias = e.bias ? data<float>(e.bias) : nullptr;
    scale = e.scale ? data<float>(e.scale) : nullptr;
    shift = e.shift ? data<float>(e.shift) : nullptr;
    partials = TileRows(e.partials);
    relu = e.relu;
  }

  /// By all threads of the block, the sums being there for all.
  KERNELS_INLINE void operator()(const ResultTile& tile) const {
    const ColumnShare<lanes> share(tile);
    float b[lanes], a[lanes], s[lanes];
    share.load(bias, 0, b);
    share.load(scale, 1, a);
    share.load(shift, 0, s);
    store_rows<T>(tile, share, y, bool(partials), [&](int64_t pixel, float(&v)[lanes]) {
      float r[lanes] = {};
      if (residual) residual.load(pixel, share, r);
#pragma unroll
      for (int i = 0; i < lanes; ++i) {
        v[i] = a[i] * (v[i] + b[i]) + s[i] + r[i];
        if (relu) v[i] = v[i] < 0 ? 0 : v[i];
      }
    });
    if (partials) store_partials(tile, share);
  }

  ResultRows<T> y;
  ResultRows<const T> residual;
  const float *bias = nullptr, *scale = nullptr, *shift = nullptr;
  TileRows partials;
  bool relu = false;

 private:
  /// In two passes over what is stored: the mean, then what differs from it.
  KERNELS_INLINE void store_partials(const ResultTile& tile,
                                     const ColumnShare<lanes>& share) const {
    float mean[lanes] = {}, m2[lanes] = {}, count[lanes];
    const auto each = [&](auto f) {
      if (share.rest <= 0) return;
      for (int row = share.first_row; row < tile.rows; row += share.step()) {
        const float* const v = tile.sums.at(row, share.column);
#pragma unroll
        for (int i = 0; i < lanes; ++i) f(i, v[i]);
      }
    };
    each([&](int i, float v) { mean[i] += v; });
    share.sum(tile, mean);
#pragma unroll
    for (int i = 0; i < lanes; ++i) {
      count[i] = float(tile.rows);
      mean[i] /= float(tile.rows > 0 ? tile.rows : 1);
    }
    each([&](int i, float v) { m2[i] += (v - mean[i]) * (v - mean[i]); });
    share.sum(tile, m2);
    partials.store(tile, share, 0, y.channels, count);
    partials.store(tile, share, 1, y.channels, mean);
    partials.store(tile, share, 2, y.channels, m2);
  }
};

/// The epilogue of grad_input: Conv3dGradEpilogue for device code.
template <class T>
struct GradFinish {
  static constexpr bool phased = true;
  static constexpr int lanes = pack_lanes<T>;

  GradFinish() = default;
  GradFinish(const View& dx_, const Conv3dOptions& o, const Conv3dGradEpilogue& e) {
    const bool packs = results_take_packs({dx_, e.mask, e.z}, dx_.shape[-1] / o.groups);
    dx = {dx_, packs};
    mask = {e.mask, packs};
    z = {e.z, packs};
    mean = e.mean ? data<float>(e.mean) : nullptr;
    sums = TileRows(e.sums);
    accumulate = e.accumulate;
  }

  KERNELS_INLINE void operator()(const ResultTile& tile) const {
    const ColumnShare<lanes> share(tile);
    store_rows<T>(tile, share, dx, bool(sums), [&](int64_t pixel, float(&v)[lanes]) {
      float before[lanes] = {}, m[lanes] = {};
      if (accumulate) dx.load(pixel, share, before);
      if (mask) mask.load(pixel, share, m);
#pragma unroll
      for (int i = 0; i < lanes; ++i) {
        v[i] += before[i];
        if (mask && m[i] <= 0) v[i] = 0;
      }
    });
    if (sums) store_sums(tile, share);
  }

  ResultRows<T> dx;
  ResultRows<const T> mask, z;
  const float* mean = nullptr;
  TileRows sums;
  bool accumulate = false;

 private:
  KERNELS_INLINE void store_sums(const ResultTile& tile, const ColumnShare<lanes>& share) const {
    float center[lanes], sum[lanes] = {}, product[lanes] = {};
    share.load(mean, 0, center);
    if (share.rest > 0) {
      for (int row = share.first_row; row < tile.rows; row += share.step()) {
        const float* const v = tile.sums.at(row, share.column);
        float read[lanes];
        z.load(tile.pixels[row], share, read);
#pragma unroll
        for (int i = 0; i < lanes; ++i) {
          sum[i] += v[i];
          product[i] += v[i] * (read[i] - center[i]);
        }
      }
    }
    share.sum(tile, sum);
    share.sum(tile, product);
    sums.store(tile, share, 0, dx.channels, sum);
    sums.store(tile, share, 1, dx.channels, product);
  }
};

/// Sums that several blocks have parts of: [split][tile][rows * columns], each tile as SumTile has
/// it.
struct SplitSums {
  float* memory = nullptr;
  int64_t tiles = 0;
  int splits = 1;

  static int64_t bytes(int splits, int64_t tiles, int columns) {
    return splits * tiles * ResultTile::most_rows * columns * 4;
  }
  KERNELS_INLINE void store(const SumTile& sums, int64_t tile, int split) const {
    const int count = ResultTile::most_rows * sums.columns;
    float* const to = memory + (split * tiles + tile) * count;
    for (int i = int(threadIdx.x) * 4; i < count; i += ResultTile::threads * 4)
      store_pack<4>(to + i, load_pack<4>(sums.data + i));
  }
  /// The parts' sum, in their order.
  KERNELS_INLINE void load(const SumTile& sums, int64_t tile) const {
    const int count = ResultTile::most_rows * sums.columns;
    const float* const from = memory + tile * count;
    for (int i = int(threadIdx.x) * 4; i < count; i += ResultTile::threads * 4) {
      Pack<float, 4> sum = load_pack<4>(from + i);
#pragma unroll 4
      for (int s = 1; s < splits; ++s) {
        const Pack<float, 4> part = load_pack<4>(from + s * tiles * count + i);
#pragma unroll
        for (int k = 0; k < 4; ++k) sum.lane[k] += part.lane[k];
      }
      store_pack<4>(sums.data + i, sum);
    }
  }
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
