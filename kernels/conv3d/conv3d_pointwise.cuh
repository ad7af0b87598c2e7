#pragma once
#include "kernels/conv3d/conv3d_gemm_launch.cuh"

// 1x1x1 without padding, of any stride: a matrix product without a gather, whose time is that of
// reading x and writing y. So blocks stay: each keeps its columns and goes from one tile of pixels
// to the next, and copies of the next tiles run while one is finished. Weights that fit into the
// stages stay as well.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// The product's tiles and its launch.
struct PointwiseProblem : GemmProblem {
  unsigned tiles = 0;     ///< of all pixels and columns
  int64_t pitch = 0;      ///< bytes between the sources of neighbouring results; 0: uneven
  bool resident = false;  ///< a stage holds the same part of the depth whenever it is filled
};

/// Steps of a tile: none where no source reaches its phase.
template <class T>
KERNELS_INLINE int pointwise_steps(const GemmProblem& p, const GemmBlock& b) {
  const bool sums = b.rows > 0 && b.axis[0].taps && b.axis[1].taps && b.axis[2].taps;
  return sums ? (p.depth + stage_depth<T> - 1) / stage_depth<T> : 0;
}

/// The copies of all tiles of a block, one after the other. Lanes tell each other where the rows of
/// a tile are, as in GemmLoads.
template <class T, int Columns, Major Weights>
class PointwiseLoads {
 public:
  using RowTile = OperandTile<T, ResultTile::most_rows, Major::depth>;
  static constexpr bool phased = Weights == Major::lines;
  static constexpr int shared_bytes = ResultTile::threads * 8;

  /// `sources`: shared, [threads].
  KERNELS_INLINE PointwiseLoads(const PointwiseProblem& p, const char** sources)
      : sources_(sources),
        weights_(p, gemm_block<phased>(p, Columns, blockIdx.x), p.weights),
        unfilled_(p.resident ? p.stages : 1 << 30) {
    seek(p);
  }

  /// Begins a quarter of the copies of the next step into a stage; nothing behind the last.
  KERNELS_INLINE void issue(const PointwiseProblem& p, uint32_t stage, int quarter) {
    if (tile_ >= p.tiles) return;
    if (p.aligned)
      load<true>(p, stage, quarter);
    else
      load<false>(p, stage, quarter);
    if (quarter < 3) return;
    channel_ += 128;
    --unfilled_;
    if (channel_ < p.depth * int(sizeof(T))) return;
    channel_ = 0;
    tile_ += gridDim.x;
    seek(p);
  }

 private:
  using Rows = RowShare<RowTile::rows, ResultTile::threads>;

  template <bool Aligned>
  KERNELS_INLINE void load(const PointwiseProblem& p, uint32_t stage, int quarter) {
    constexpr int each = Rows::count / 4;
    const int place = channel_ + share_.chunk * 16;
    const int bytes = part_of_chunk(p.depth * int(sizeof(T)) - place);
    const uint32_t to = stage + RowTile::place(uint32_t(share_.first), uint32_t(share_.chunk));
    const char* const* const sources = sources_ + threadIdx.x / 8 * 8;
#pragma unroll
    for (int i = quarter * each; i < (quarter + 1) * each; ++i) {
      const char* const from = sources[i];
      copy_chunk<Aligned, T>(shared_, to + uint32_t(i) * 1024, from + place, from ? bytes : 0);
    }
    if (unfilled_ > 0)
      weights_.template load<Aligned>(p, shared_, stage + RowTile::bytes, quarter, channel_);
  }

  /// Goes on to the next tile that sums over something, and finds its rows.
  KERNELS_INLINE void seek(const PointwiseProblem& p) {
    for (; tile_ < p.tiles; tile_ += gridDim.x) {
      const GemmBlock b = gemm_block<phased>(p, Columns, tile_);
      if (pointwise_steps<T>(p, b) == 0) continue;
      const int row = told_row(share_);
      const char* source = p.source + int64_t(b.group) * p.depth * int(sizeof(T));
      if (p.pitch) {
        source += (b.first + row) * p.pitch;
      } else {
        const ResultPlace place = result_place(b, b.first + row);
        source += place.clip * p.source_stride[0];
#pragma unroll
        for (int i = 0; i < 3; ++i)
          source += int64_t(place.at[i]) * p.axis[i].step * p.source_stride[i + 1];
      }
      __syncwarp();
      sources_[threadIdx.x] = row < b.rows ? source : nullptr;
      __syncwarp();
      return;
    }
  }

  SharedTiles shared_;
  Rows share_;
  const char** sources_;  ///< shared: of each row of the tile, nullptr behind the last
  unsigned tile_ = blockIdx.x;
  int channel_ = 0;  ///< in bytes
  WeightLoads<T, Columns, Weights> weights_;
  int unfilled_;  ///< steps whose stages lack their weights
};

/// A block. Shared memory: stages, where rows are, and a ResultTile.
template <class Product, Major Weights, class Finish>
KERNELS_INLINE void pointwise_tiles(const PointwiseProblem& p, const Finish& finish) {
  using T = typename Product::Element;
  using Loads = PointwiseLoads<T, Product::columns, Weights>;
  const SharedTiles shared;
  char* const behind = shared.memory + p.stages * int64_t(Product::stage_bytes);
  const Ring ring{Product::stage_bytes, p.stages};
  Loads loads(p, reinterpret_cast<const char**>(behind));
  uint32_t to = 0, stage = 0;
  for (int i = 1; i < p.stages; ++i) {
#pragma unroll
    for (int quarter = 0; quarter < 4; ++quarter) loads.issue(p, to, quarter);
    cp_async_commit();
    to = ring.after(to);
  }
  ring.wait();
  __syncthreads();

#pragma unroll 1
  for (unsigned number = blockIdx.x; number < p.tiles; number += gridDim.x) {
    Product product;
    int left = pointwise_steps<T>(p, gemm_block<Finish::phased>(p, Product::columns, number));
    if (left > 0) product.begin(stage);
#pragma unroll 1
    for (; left > 0; --left) {
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
    __syncthreads();  // the last tile is finished
    ResultTile tile(behind + Loads::shared_bytes, Product::columns);
    product.store(tile.sums);
    describe<Finish::phased>(p, gemm_block<Finish::phased>(p, Product::columns, number), tile);
    __syncthreads();
    finish(tile);
  }
}

/// The problem of a pass, and as many blocks as run at once, each with about as many tiles.
template <class Finish>
void launch_pointwise(Stream stream, const char* name, const Conv3dPlan& plan,
                      const GemmProblem& gemm, const View& sources,
                      void (*kernel)(PointwiseProblem, Finish), const Finish& finish) {
  const auto per = [](int64_t n, int64_t d) { return (n + d - 1) / d; };
  PointwiseProblem p{gemm};
  p.tiles = unsigned(plan.tiles);
  const int steps = (p.depth + plan.depth - 1) / plan.depth;
  p.resident = steps > 0 && plan.stages % steps == 0;
  const bool every = p.axis[0].step == 1 && p.axis[1].step == 1 && p.axis[2].step == 1;
  p.pitch = every && uniform_rows(sources) ? p.source_stride[3] : 0;
  const int64_t across = int64_t(p.column_tiles) * p.groups, down = plan.tiles / across;
  const int64_t resident =
      std::clamp<int64_t>(gpu().shared_per_multiprocessor / (plan.shared_bytes + 1024), 1, 3);
  const int64_t rounds = per(down, std::max<int64_t>(1, resident * gpu().multiprocessors / across));
  launch(name, kernel,
         {.grid = dim3(unsigned(across * per(down, rounds))),
          .block = unsigned(plan.threads),
          .shared_bytes = plan.shared_bytes},
         stream, p, finish);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
