#pragma once
#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/conv3d/conv3d_epilogue.cuh"
#include "kernels/conv3d/conv3d_gather.h"

// Implicit matrix product: rows are pixels of the result, columns its channels, and the depth goes
// through the filter's taps and, within each, through the channels of the source. The rows' operand
// is never laid out: its tiles are gathered tap by tap. forward and grad_input differ in the
// gather and in how the weights lie: forward's columns K have their depth C side by side, those of
// grad_input, C, have themselves side by side.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// What blocks of the implicit product are given. Strides, pitches and steps count bytes.
struct GemmProblem {
  const char *source = nullptr, *weights = nullptr;
  int64_t source_stride[4] = {};  ///< n, t, h, w
  int64_t filter_stride[3] = {};  ///< of the weights: t, h, w
  int64_t tap_stride[3] = {};     ///< from one of a phase's taps to the next
  int64_t weight_pitch = 0;       ///< from one k to the next
  int64_t clips = 0;
  Conv3dGatherAxis axis[3];    ///< forward: the gather; grad_input: what all phases have in common
  Conv3dPhasedAxis phased[3];  ///< of grad_input
  int phases[3] = {1, 1, 1};
  int groups = 1, depth = 0, columns = 0;  ///< channels of a group: of the source, of the result
  unsigned column_tiles = 1;
  int stages = 3, splits = 1;
  bool aligned = true;  ///< every row begins on a multiple of 16 bytes, in every group
};

/// What a block makes of that: columns are its fastest index, so that blocks that run at once read
/// the same pixels; then groups, phases (neighbours read the same pixels again), pixels.
struct GemmBlock {
  Conv3dGatherAxis axis[3];
  int64_t first;  ///< of the phase's results, clip by clip
  int64_t entry;  ///< number of the tile of pixels
  int rows;       ///< results that are there
  int group, column;
};

template <bool Phased>
KERNELS_INLINE GemmBlock gemm_block(const GemmProblem& p, int columns, unsigned tile) {
  GemmBlock b;
  b.column = int(tile % p.column_tiles) * columns;
  tile /= p.column_tiles;
  b.group = int(tile % unsigned(p.groups));
  tile /= unsigned(p.groups);
  b.entry = tile;
#pragma unroll
  for (int i = 2; i >= 0; --i) {
    b.axis[i] = p.axis[i];
    if constexpr (Phased) {
      b.axis[i] = p.phased[i].phase(int(tile % unsigned(p.phases[i])));
      tile /= unsigned(p.phases[i]);
    }
  }
  b.first = int64_t(tile) * ResultTile::most_rows;
  const int64_t left =
      p.clips * b.axis[0].results * b.axis[1].results * b.axis[2].results - b.first;
  b.rows = int(left < 0 ? 0 : left < ResultTile::most_rows ? left : ResultTile::most_rows);
  return b;
}

/// Where result `number` of a block's phase is: clip, and along each axis.
struct ResultPlace {
  int64_t clip;
  int at[3];
};
KERNELS_INLINE ResultPlace result_place(const GemmBlock& b, int64_t number) {
  ResultPlace place;
  auto rest = uint64_t(number);
#pragma unroll
  for (int i = 2; i >= 0; --i) {
    const auto size = uint64_t(b.axis[i].results);
    place.at[i] = int(rest % size);
    rest /= size;
  }
  place.clip = int64_t(rest);
  return place;
}

/// Bytes of a chunk of 16 that are there, `left` being those from its place on.
KERNELS_INLINE int part_of_chunk(int left) { return left < 0 ? 0 : left < 16 ? left : 16; }

/// A thread's copies of the columns' operand: the weights of a tap.
template <class T, int Columns, Major Weights>
class WeightLoads {
 public:
  using Tile = OperandTile<T, Columns, Weights>;

  WeightLoads() = default;
  /// `weights`: those of the first tap.
  KERNELS_INLINE WeightLoads(const GemmProblem& p, const GemmBlock& b, const char* weights)
      : from_(weights) {
    if constexpr (Weights == Major::depth) {
      const int line = b.column + share_.first;
      from_ += (int64_t(b.group) * p.columns + line) * p.weight_pitch + share_.chunk * 16;
      lines_ = p.columns - line;
    } else {
      const int column =
          b.column * size + share_.run_first / stage_depth<T> * 128 + share_.chunk * 16;
      from_ += (int64_t(b.group) * p.depth + first_depth()) * p.weight_pitch + column;
      lines_ = (p.columns < b.column + Columns ? p.columns : b.column + Columns) * size - column;
    }
  }
  /// To the tap that is `bytes` further.
  KERNELS_INLINE void move(int64_t bytes) { from_ += bytes; }

  /// A quarter of the copies into `tile`, from `channel` bytes of the depth on.
  template <bool Aligned>
  KERNELS_INLINE void load(const GemmProblem& p, const SharedTiles& shared, uint32_t tile,
                           int quarter, int channel) const {
    constexpr int count = Share::count, each = (count + 3) / 4;
    const uint32_t to = tile + Tile::place(uint32_t(share_.first), uint32_t(share_.chunk));
#pragma unroll(Aligned ? each : 1)
    for (int i = quarter * each; i < (quarter + 1) * each && i < count; ++i) {
      const char* from = from_;
      int bytes;
      if constexpr (Weights == Major::depth) {
        from += channel + 8 * i * p.weight_pitch;
        bytes = 8 * i < lines_ ? part_of_chunk(p.depth * size - channel - share_.chunk * 16) : 0;
      } else {
        const int k = channel / size + 8 * i % stage_depth<T>, panel = 8 * i / stage_depth<T>;
        from += k * p.weight_pitch + panel * 128;
        bytes = first_depth() + k < p.depth ? part_of_chunk(lines_ - panel * 128) : 0;
      }
      copy_chunk<Aligned, T>(shared, to + uint32_t(i) * 1024, from, bytes);
    }
  }

 private:
  using Share = RowShare<Tile::rows, ResultTile::threads>;
  static constexpr int size = int(sizeof(T));

  /// Major::lines: place in the depth of this thread's first row.
  KERNELS_INLINE int first_depth() const {
    return share_.run_first % stage_depth<T> + share_.within;
  }

  Share share_;
  const char* from_ = nullptr;  ///< this thread's chunk of its first row, at this tap
  /// Major::depth: columns from this thread's first row on; else bytes from its chunk.
  int lines_ = 0;
};

/// The row of the rows' tile that a lane finds the source of, and tells its warp.
template <class Share>
KERNELS_INLINE int told_row(const Share& share) {
  const int lane = int(threadIdx.x) % 32;
  return share.run_first + share.within / 4 * 4 + lane / 8 + lane % 8 * 8;
}

struct TapRange {
  int first, count;
};

/// The copies that fill stages with the operands' tiles, step by step: for each tap, chunks of
/// stage_depth channels. Each thread knows one row's place. At each tap the lanes of a warp tell
/// each other where their rows' sources are, so that a step costs an addition a row.
template <class T, int Columns, Major Weights>
class GemmLoads {
 public:
  using RowTile = OperandTile<T, ResultTile::most_rows, Major::depth>;
  static constexpr int depth_bytes = 128, size = int(sizeof(T));
  static constexpr int shared_bytes = ResultTile::threads * 8;

  /// For the steps of split `split`. `sources`: shared, [threads].
  KERNELS_INLINE GemmLoads(const GemmProblem& p, const GemmBlock& b, const char** sources,
                           int split);
  /// Steps that this block sums over.
  KERNELS_INLINE int steps() const { return steps_; }

  /// Begins a quarter of the copies of the next step into a stage; nothing behind the last.
  KERNELS_INLINE void issue(const GemmProblem& p, uint32_t stage, int quarter) {
    if (left_ == 0) return;
    if (p.aligned) {
      load_rows<true>(p, stage, quarter);
      weights_.template load<true>(p, shared_, stage + RowTile::bytes, quarter, channel_);
    } else {
      load_rows<false>(p, stage, quarter);
      weights_.template load<false>(p, shared_, stage + RowTile::bytes, quarter, channel_);
    }
    if (quarter == 3) advance(p);
  }

 private:
  using Rows = RowShare<RowTile::rows, ResultTile::threads>;

  template <bool Aligned>
  KERNELS_INLINE void load_rows(const GemmProblem& p, uint32_t stage, int quarter);
  KERNELS_INLINE void advance(const GemmProblem& p);
  KERNELS_INLINE void tell_sources(const GemmProblem& p);
  /// Taps in t but for those that are outside for all pixels of the block.
  KERNELS_INLINE static TapRange frames_inside(const GemmProblem& p, const GemmBlock& b);
  /// Taps of the block along h and w.
  KERNELS_INLINE int taps(const GemmProblem& p, int i) const {
    return Weights == Major::depth ? p.axis[i].taps : taps_[i];
  }

  SharedTiles shared_;
  Rows share_;
  const char** sources_;  ///< shared: of each row at this tap, nullptr outside
  int steps_, left_;
  const char* source_;  ///< of this thread's row at tap 0, if that were inside
  int at_[3];           ///< where that is; far outside where there is no row
  int tap_[3], taps_[3], channel_;
  WeightLoads<T, Columns, Weights> weights_;
};

template <class T, int Columns, Major Weights>
KERNELS_INLINE GemmLoads<T, Columns, Weights>::GemmLoads(const GemmProblem& p, const GemmBlock& b,
                                                         const char** sources, int split)
    : sources_(sources) {
  const TapRange t = frames_inside(p, b);
  const int chunks = (p.depth * size + depth_bytes - 1) / depth_bytes;
  const int all = b.rows > 0 ? t.count * b.axis[1].taps * b.axis[2].taps * chunks : 0;
  const int first = int(int64_t(all) * split / p.splits);
  steps_ = left_ = int(int64_t(all) * (split + 1) / p.splits) - first;
  if (steps_ == 0) return;
#pragma unroll
  for (int i = 0; i < 3; ++i) taps_[i] = b.axis[i].taps;
  int tap = first / chunks;
  channel_ = first % chunks * depth_bytes;
  tap_[2] = tap % taps(p, 2);
  tap /= taps(p, 2);
  tap_[1] = tap % taps(p, 1);
  tap_[0] = tap / taps(p, 1) + t.first;

  const int row = told_row(share_);
  const ResultPlace place = result_place(b, b.first + row);
  source_ = p.source + place.clip * p.source_stride[0] + int64_t(b.group) * p.depth * size;
  const char* weights = p.weights;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    at_[i] = b.axis[i].first + place.at[i] * p.axis[i].step;
    source_ += at_[i] * p.source_stride[i + 1];
    weights += b.axis[i].filter_first * p.filter_stride[i] + tap_[i] * p.tap_stride[i];
  }
  if (row >= b.rows) at_[0] = -(1 << 30);
  weights_ = {p, b, weights};
  tell_sources(p);
}

template <class T, int Columns, Major Weights>
KERNELS_INLINE TapRange GemmLoads<T, Columns, Weights>::frames_inside(const GemmProblem& p,
                                                                      const GemmBlock& b) {
  const Conv3dGatherAxis& axis = b.axis[0];
  const ResultPlace begin = result_place(b, b.first), end = result_place(b, b.first + b.rows - 1);
  TapRange taps{0, axis.taps};
  if (b.rows == 0 || begin.clip != end.clip) return taps;
  const auto outside = [&](int tap) {
    const int by = axis.first + tap * p.axis[0].tap_step;
    return end.at[0] * p.axis[0].step + by < 0 ||
           begin.at[0] * p.axis[0].step + by >= p.axis[0].sources;
  };
  while (taps.count > 0 && outside(taps.first)) ++taps.first, --taps.count;
  while (taps.count > 0 && outside(taps.first + taps.count - 1)) --taps.count;
  return taps;
}

template <class T, int Columns, Major Weights>
template <bool Aligned>
KERNELS_INLINE void GemmLoads<T, Columns, Weights>::load_rows(const GemmProblem& p, uint32_t stage,
                                                              int quarter) {
  constexpr int each = Rows::count / 4;
  const int place = channel_ + share_.chunk * 16, bytes = part_of_chunk(p.depth * size - place);
  const uint32_t to = stage + RowTile::place(uint32_t(share_.first), uint32_t(share_.chunk));
  const char* const* const sources = sources_ + threadIdx.x / 8 * 8;
#pragma unroll(Aligned ? each : 1)
  for (int i = quarter * each; i < (quarter + 1) * each; ++i) {
    const char* const from = sources[i];
    copy_chunk<Aligned, T>(shared_, to + uint32_t(i) * 1024, from + place, from ? bytes : 0);
  }
}

template <class T, int Columns, Major Weights>
KERNELS_INLINE void GemmLoads<T, Columns, Weights>::advance(const GemmProblem& p) {
  --left_;
  channel_ += depth_bytes;
  if (channel_ < p.depth * size || left_ == 0) return;
  channel_ = 0;
  weights_.move(p.tap_stride[2]);
  if (++tap_[2] == taps(p, 2)) {
    weights_.move(p.tap_stride[1] - tap_[2] * p.tap_stride[2]);
    tap_[2] = 0;
    if (++tap_[1] == taps(p, 1)) {
      weights_.move(p.tap_stride[0] - tap_[1] * p.tap_stride[1]);
      tap_[1] = 0;
      ++tap_[0];
    }
  }
  tell_sources(p);
}

template <class T, int Columns, Major Weights>
KERNELS_INLINE void GemmLoads<T, Columns, Weights>::tell_sources(const GemmProblem& p) {
  const char* source = source_;
  bool inside = true;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int by = tap_[i] * p.axis[i].tap_step;
    inside = inside && unsigned(at_[i] + by) < unsigned(p.axis[i].sources);
    source += by * p.source_stride[i + 1];
  }
  __syncwarp();
  sources_[threadIdx.x] = inside ? source : nullptr;
  __syncwarp();
}

/// The sums of a block's tile, in `product`.
template <class Product, class Loads>
KERNELS_INLINE void multiply_steps(const GemmProblem& p, Product& product, Loads& loads) {
  const Ring ring{Product::stage_bytes, p.stages};
  uint32_t to = 0, stage = 0;
  for (int i = 1; i < p.stages; ++i) {
#pragma unroll
    for (int quarter = 0; quarter < 4; ++quarter) loads.issue(p, to, quarter);
    cp_async_commit();
    to = ring.after(to);
  }
  if (loads.steps() == 0) return;
  ring.wait();
  __syncthreads();
  product.begin(0);
#pragma unroll 1
  for (int left = loads.steps(); left > 0; --left) {
    product.multiply(
        stage, [&](int quarter) { loads.issue(p, to, quarter); },
        [&] {
          cp_async_commit();
          ring.wait();
          __syncthreads();
          stage = ring.after(stage);
          to = ring.after(to);
          return left > 1 ? int(stage) : -1;
        });
  }
}

/// Which pixel each row of the block's tile is, and what else its epilogue asks for.
template <bool Phased>
KERNELS_INLINE void describe(const GemmProblem& p, const GemmBlock& b, ResultTile& tile) {
  int64_t pixel = b.first + int(threadIdx.x);
  if constexpr (Phased) {
    const ResultPlace place = result_place(b, pixel);
    pixel = place.clip;
#pragma unroll
    for (int i = 0; i < 3; ++i)
      pixel = pixel * p.phased[i].results + b.axis[i].result_first +
              place.at[i] * b.axis[i].result_step;
  }
  tile.pixels[threadIdx.x] = pixel;
  tile.rows = b.rows;
  tile.channel = b.group * p.columns + b.column;
  tile.end = (b.group + 1) * p.columns;
  tile.entry = b.entry;
}

/// A block: its tile of results, or a split's part of its sums. Shared memory: stages, what the
/// loads keep there, the block itself, which registers have no room for while it multiplies; then,
/// in their place, a ResultTile.
template <class Product, Major Weights, class Finish>
KERNELS_INLINE void gemm_tile(const GemmProblem& p, const SplitSums& split, const Finish& finish) {
  using Loads = GemmLoads<typename Product::Element, Product::columns, Weights>;
  const SharedTiles shared;
  char* const behind = shared.memory + p.stages * int64_t(Product::stage_bytes);
  auto* const block = reinterpret_cast<GemmBlock*>(behind + Loads::shared_bytes);
  Product product;
  {
    const GemmBlock mine = gemm_block<Finish::phased>(p, Product::columns, blockIdx.x);
    if (threadIdx.x == 0) *block = mine;
    Loads loads(p, mine, reinterpret_cast<const char**>(behind), int(blockIdx.z));
    multiply_steps(p, product, loads);
  }
  __syncthreads();
  ResultTile tile(shared.memory, Product::columns);
  product.store(tile.sums);
  describe<Finish::phased>(p, *block, tile);
  __syncthreads();
  if (p.splits > 1)
    split.store(tile.sums, blockIdx.x, int(blockIdx.z));
  else
    finish(tile);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
