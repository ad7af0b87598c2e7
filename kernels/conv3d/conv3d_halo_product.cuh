#pragma once
#include "kernels/conv3d/conv3d_halo_load.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// What a step multiplies: offsets of the halo and of the taps in shared memory, how many rows
/// further the first tap reads, products of 32 bytes of channels.
struct HaloOperands {
  uint32_t halo, stage;
  int shift, depths;
};

/// A warp's 64 x 8*J sums: J is 8 or 6, where two warps may divide a tile's columns, or 4.
template <class T, int J, Major M>
class HaloProduct {
 public:
  static constexpr int columns = 8 * J;

  KERNELS_INLINE explicit HaloProduct(const HaloProblem& p)
      : across_(J > 4 && p.tile_columns > columns ? 2 : 1) {
    const int lane = int(threadIdx.x % 32);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      int at[3];
      place_in_box(p, first_row() + i * 16 + lane % 16, at);
      const int row = (at[0] * p.extent[1] + at[1]) * p.extent[2] + at[2];
      rows_[i] = uint32_t(row * halo_row_bytes + lane / 16 * 16);
    }
  }

  /// Reads what the first product of a step takes, before multiply() of the first step of a tile.
  /// Of few columns `groups` of 8 are read and multiplied.
  KERNELS_INLINE void begin(const SharedTiles& shared, const HaloOperands& at, int groups) {
    load_rows<0>(a_[0], shared, at, 0, 0);
    load_columns(b_[0], shared, at.stage, 0, groups);
  }

  /// sums += a step's taps times the halo. turn(at), when all of the step has been read, puts the
  /// tile's next step there, for all to read; false if there is none.
  template <class Turn>
  KERNELS_INLINE void multiply(const HaloProblem& p, const SharedTiles& shared, HaloOperands& at,
                               int groups, Turn turn) {
    if constexpr (J > 4)
      multiply_tap(shared, at, turn);
    else
      multiply_window(p, shared, at, groups, turn);
  }

  /// Warps that divide a tile's columns.
  KERNELS_INLINE int across() const { return across_; }

  /// Stores columns 32*part and on, up to 32 of them, of those warps that are `warp`-th of
  /// `across`, for the pixels that are there: those within `size`, side by side. Then begins anew.
  KERNELS_INLINE void take(const HaloProblem& p, const int (&size)[3], int warp, int part,
                           const SumTile& to) {
    const int lane = int(threadIdx.x % 32);
    if (warp != column_warp()) return;
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      int at[3];
      const int row = row_among(p, size, first_row() + e * 8 + lane / 4, at);
#pragma unroll
      for (int j = 0; j < J; ++j) {
        if (j / 4 != part) continue;
        float(&sum)[4] = sums_[e / 2][j];
        if (row >= 0)
          store_pack<2>(to.at(row, j % 4 * 8 + lane % 4 * 2),
                        Pack<float, 2>{{sum[e % 2 * 2], sum[e % 2 * 2 + 1]}});
        sum[e % 2 * 2] = sum[e % 2 * 2 + 1] = 0;
      }
    }
  }

 private:
  template <class Turn>
  KERNELS_INLINE void multiply_tap(const SharedTiles& shared, HaloOperands& at, Turn turn) {
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      if (k + 1 >= at.depths) continue;
      load_rows<0>(a_[(k + 1) % 2], shared, at, 0, k + 1);
      load_columns(b_[(k + 1) % 2], shared, at.stage, k + 1, J);
      round(k % 2);
      mma_tile<T>(sums_, a_[k % 2], b_[k % 2]);
    }
    if (at.depths % 2) copy_fragments(1, 0);
    if (turn(at)) begin(shared, at, J);
    round(1);
    mma_tile<T>(sums_, a_[1], b_[1]);
  }

  /// Taps on one axis, each of which reads rows p.window_shift further: fragment i is then what
  /// i + 1 was, and only the last is read.
  template <class Turn>
  KERNELS_INLINE void multiply_window(const HaloProblem& p, const SharedTiles& shared,
                                      HaloOperands& at, int groups, Turn turn) {
    const int depths = at.depths;
    for (int k = 0; k < depths; ++k)
      for (int tap = 1; tap <= p.window; ++tap) {
        copy_fragments(1, 0);
        if (tap < p.window) {
#pragma unroll
          for (int e = 0; e < 12; ++e) a_[0][e / 4][e % 4] = a_[1][e / 4 + 1][e % 4];
          load_rows<3>(a_[0], shared, at, tap * p.window_shift, k);
          load_columns(b_[0], shared, at.stage + uint32_t(tap * p.tap_bytes), k, groups);
        } else if (k + 1 < depths) {
          load_rows<0>(a_[0], shared, at, 0, k + 1);
          load_columns(b_[0], shared, at.stage, k + 1, groups);
        } else if (turn(at)) {
          begin(shared, at, groups);
        }
        round(1);
        if (groups == 1)
          multiply_groups<1>();
        else if (groups == 2)
          multiply_groups<2>();
        else
          multiply_groups<J>();
      }
  }

  KERNELS_INLINE int column_warp() const { return int(threadIdx.x) / 32 % across_; }
  KERNELS_INLINE int first_row() const { return int(threadIdx.x) / 32 / across_ * halo_warp_rows; }

  /// Fragments `to` = fragments `from`.
  KERNELS_INLINE void copy_fragments(int to, int from) {
#pragma unroll
    for (int e = 0; e < 16; ++e) a_[to][e / 4][e % 4] = a_[from][e / 4][e % 4];
#pragma unroll
    for (int e = 0; e < 2 * J; ++e) b_[to][e / 2][e % 2] = b_[from][e / 2][e % 2];
  }
  /// a = fragments From to 3, `further` rows further.
  template <int From>
  KERNELS_INLINE void load_rows(uint32_t (&a)[4][4], const SharedTiles& shared,
                                const HaloOperands& at, int further, int k) const {
    const auto rows = uint32_t((at.shift + further) * halo_row_bytes);
#pragma unroll
    for (int i = From; i < 4; ++i)
      ldmatrix(a[i], shared.address + at.halo +
                         (swizzled<Swizzle::bytes128>(rows_[i] + rows) ^ uint32_t(k) << 5));
  }
  /// b = the first `groups` of 8 columns, two at a time.
  KERNELS_INLINE void load_columns(uint32_t (&b)[J][2], const SharedTiles& shared, uint32_t stage,
                                   int k, int groups) const {
    // A panel of columns that lie side by side has 128 bytes; the reader finds those of f32.
    constexpr bool panels = M == Major::lines && sizeof(T) == 2;
#pragma unroll
    for (int j = 0; j < J; j += 2) {
      if (j >= groups) continue;
      const auto pair = uint32_t(column_warp() * (J / 2) + j / 2);
      uint32_t r[4];
      reader_.template load<false>(r, shared, stage + (panels ? pair / 4 * 8192 : 0),
                                   panels ? pair % 4 : pair, uint32_t(k));
#pragma unroll
      for (int e = 0; e < 4; ++e) b[j + e % 2][e / 2] = r[e];
    }
  }
  /// TF32 is rounded here, where it is used: not to wait for what is being read.
  KERNELS_INLINE void round(int which) {
#pragma unroll
    for (uint32_t(&a)[4] : a_[which]) round_factors<T>(a);
#pragma unroll
    for (uint32_t(&b)[2] : b_[which]) round_factors<T>(b);
  }
  template <int Groups>
  KERNELS_INLINE void multiply_groups() {
    float sums[4][Groups][4];
    uint32_t b[Groups][2];
#pragma unroll
    for (int e = 0; e < 2 * Groups; ++e) b[e / 2][e % 2] = b_[1][e / 2][e % 2];
#pragma unroll
    for (int e = 0; e < 16 * Groups; ++e)
      sums[e / 4 / Groups][e / 4 % Groups][e % 4] = sums_[e / 4 / Groups][e / 4 % Groups][e % 4];
    mma_tile<T>(sums, a_[1], b);
#pragma unroll
    for (int e = 0; e < 16 * Groups; ++e)
      sums_[e / 4 / Groups][e / 4 % Groups][e % 4] = sums[e / 4 / Groups][e / 4 % Groups][e % 4];
  }

  int across_;
  FragmentReader<T, OperandTile<T, halo_most_columns, M>, M> reader_{0};
  uint32_t rows_[4];
  float sums_[4][J][4] = {};
  uint32_t a_[2][4][4], b_[2][J][2];
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
