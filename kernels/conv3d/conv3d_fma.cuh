#pragma once
#include "kernels/conv3d/conv3d_tile.cuh"

// The product of tiles in exact f32, by CUDA cores.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// What MmaProduct is, by FMA: 128 rows x 64 or 32 columns, each sum in the order of the depth. A
/// warp makes 32 rows, a thread every 4th of them and every 8th column, or pack of 4 columns if the
/// columns' tile has lines side by side.
/// Cost of 4 products a sum, N columns a thread: 8 + N loads of 16 bytes for 32 * N FMA. A load of
/// a warp keeps shared memory busy for 2 cycles, 4 FMA take the multiprocessor 1: half of the time
/// for N = 8, three quarters for N = 4.
template <int Columns, Major B>
class FmaProduct {
 public:
  using Element = float;
  static constexpr int rows = 128, columns = Columns, threads = 128;
  using RowTile = OperandTile<float, rows, Major::depth>;
  using ColumnTile = OperandTile<float, Columns, B>;
  static constexpr uint32_t stage_bytes = RowTile::bytes + ColumnTile::bytes;

  KERNELS_INLINE void begin(uint32_t) {}

  template <class Issue, class Turn>
  KERNELS_INLINE void multiply(uint32_t stage, Issue issue, Turn turn) {
#pragma unroll
    for (int k = 0; k < 4; ++k) issue(k);
    const char* const row_tile = shared_.memory + stage;
    const char* const column_tile = row_tile + RowTile::bytes;
#pragma unroll 1
    for (int depth = 0; depth < stage_depth<float>; depth += 4)
      multiply(row_tile, column_tile, depth);
    turn();
  }

  KERNELS_INLINE void store(const SumTile& to) const {
#pragma unroll
    for (int i = 0; i < held_rows; ++i)
#pragma unroll
      for (int j = 0; j < held; j += pack)
        store_pack<pack>(to.at(row(i), column(j)), sums_of(i, j));
  }

 private:
  static constexpr bool wide = B == Major::lines;
  static constexpr int held_rows = 8, held = Columns / 8, pack = wide ? 4 : 1;

  KERNELS_INLINE int row(int i) const { return int(threadIdx.x) / 32 * 32 + row_lane_ + 4 * i; }
  KERNELS_INLINE int column(int j) const {
    return column_lane_ * pack + j / pack * 8 * pack + j % pack;
  }
  KERNELS_INLINE Pack<float, pack> sums_of(int i, int j) const {
    Pack<float, pack> sums;
#pragma unroll
    for (int k = 0; k < pack; ++k) sums.lane[k] = sums_[i][j + k];
    return sums;
  }
  /// What the thread takes of its i-th row, of its q-th column, of place d of its panel p of
  /// columns: 4 elements at depth `depth`, a multiple of 4. A chunk's number is XORed into where
  /// the first of a row lies: see OperandTile::place.
  KERNELS_INLINE Pack<float, 4> row_chunk(const char* tile, int i, uint32_t depth) const {
    return chunk(tile + i * 512, row_place_ ^ i % 2 << 6 ^ depth << 2);
  }
  KERNELS_INLINE Pack<float, 4> column_chunk(const char* tile, int q, uint32_t depth) const {
    return chunk(tile + q * 1024, column_place_ ^ depth << 2);
  }
  KERNELS_INLINE Pack<float, 4> panel_chunk(const char* tile, int p, int d, uint32_t depth) const {
    return chunk(tile + p * 4096 + d * 128 + depth * 128,
                 column_place_ ^ d << 5 ^ (depth & 4) << 2);
  }
  KERNELS_INLINE static Pack<float, 4> chunk(const char* tile, uint32_t place) {
    return load_pack<4>(reinterpret_cast<const float*>(tile + place));
  }

  KERNELS_INLINE void multiply(const char* row_tile, const char* column_tile, uint32_t depth) {
    Pack<float, 4> a[held_rows];
#pragma unroll
    for (int i = 0; i < held_rows; ++i) a[i] = row_chunk(row_tile, i, depth);
#pragma unroll
    for (int q = 0; q < held; ++q) {
      // Lines side by side: place d of the depth, 4 columns; else 4 places, column q.
      const int d = q / (held / 4), panel = q % (held / 4);
      const Pack<float, 4> b =
          wide ? panel_chunk(column_tile, panel, d, depth) : column_chunk(column_tile, q, depth);
#pragma unroll
      for (int k = 0; k < 4; ++k)
#pragma unroll
        for (int i = 0; i < held_rows; ++i) {
          float& sum = sums_[i][wide ? panel * 4 + k : q];
          sum = std::fma(a[i].lane[wide ? d : k], b.lane[k], sum);
        }
    }
  }

  SharedTiles shared_;
  // Lanes alternate between rows and columns: of any 8 in sequence, which shared memory serves
  // together, 4 ask for the same row, and 2 for the same column.
  // Source: CUTLASS, gemm/warp/mma_simt_policy.h: lanes as RowMajorInterleaved<2> has them.
  int row_lane_ = int(threadIdx.x) % 32 / 16 * 2 + int(threadIdx.x) % 2;
  int column_lane_ = int(threadIdx.x) % 16 / 2;
  uint32_t row_place_ = RowTile::place(uint32_t(row(0)), 0);
  uint32_t column_place_ =
      wide ? uint32_t(column_lane_) * 16 : ColumnTile::place(uint32_t(column_lane_), 0);
  float sums_[held_rows][held] = {};
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
