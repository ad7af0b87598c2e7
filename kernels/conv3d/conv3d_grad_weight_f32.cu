#include "kernels/conv3d/conv3d_grad_weight.cuh"
#include "kernels/device/mma.h"

// Products of f32: by tensor cores as TF32, or exact by FMA. ldmatrix cannot turn elements of 4
// bytes, so both read packs of four channels of one pixel, and each thread's sums are of rows and
// columns that lie so.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight {

constexpr int f32_depth = 32;
constexpr uint32_t panel_bytes = f32_depth * 128;  // 32 channels of a stage's pixels

/// Channels 4 * chunk to 4 * chunk + 3 of a pixel of the stage whose tile lies at `tile`.
KERNELS_INLINE Pack<float, 4> channels_of(const Tiles& tiles, uint32_t tile, int chunk, int pixel) {
  const uint32_t at = swizzled<Swizzle::bytes128>(uint32_t(pixel * 128 + chunk % 8 * 16));
  return load_pack<4>(
      reinterpret_cast<const float*>(tiles.memory + tile + uint32_t(chunk / 8) * panel_bytes + at));
}

/// Requires 128 threads, of which each warp has a quarter of the tile. With g = lane / 4,
/// t = lane % 4, rows 4g to 4g+3 of a panel of 32 are rows g and g+8 of two of mma's tiles, columns
/// 4g to 4g+3 are columns g of four, and the pixels of its depth t and t+4 are 2t and 2t+1: the
/// order of a sum's terms is free, and no two threads meet in a bank.
template <int Rows, int Columns>
class Tf32Product {
 public:
  using Type = float;
  static constexpr int rows = Rows, columns = Columns, depth = f32_depth, threads = 128;
  static constexpr int width = 4, rows_held = Rows / 16, runs_held = Columns / 32;

  KERNELS_INLINE int first_row() const { return int(threadIdx.x / 32 % 2) * (Rows / 2); }
  KERNELS_INLINE int first_column() const { return int(threadIdx.x / 64) * (Columns / 2); }

  KERNELS_INLINE void clear() {
#pragma unroll
    for (int i = 0; i < i_count; ++i)
#pragma unroll
      for (int j = 0; j < j_count; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] = 0;
  }
  KERNELS_INLINE void add(const Tiles& tiles, uint32_t dy, uint32_t x) {
    const int g = int(threadIdx.x) % 32 / 4, t = int(threadIdx.x) % 4;
#pragma unroll
    for (int k = 0; k < depth; k += 8) {
      uint32_t a[i_count][4], b[j_count][2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int pixel = k + 2 * t + half;
#pragma unroll
        for (int i = 0; i < i_count; i += 2) {
          const auto four = channels_of(tiles, dy, first_row() / 4 + i * 4 + g, pixel);
#pragma unroll
          for (int e = 0; e < 4; ++e)
            a[i + e / 2][e % 2 + 2 * half] = tf32_register_of(four.lane[e]);
        }
#pragma unroll
        for (int j = 0; j < j_count; j += 4) {
          const auto four = channels_of(tiles, x, first_column() / 4 + j * 2 + g, pixel);
#pragma unroll
          for (int e = 0; e < 4; ++e) b[j + e][half] = tf32_register_of(four.lane[e]);
        }
      }
      mma_tile<float>(sums_, a, b);
    }
  }

  KERNELS_INLINE int row(int r) const {
    return first_row() + r / 4 * 32 + int(threadIdx.x) % 32 / 4 * 4 + r % 4;
  }
  KERNELS_INLINE int column(int run) const {
    return first_column() + run / 2 * 32 + int(threadIdx.x) % 4 * 8 + run % 2 * 4;
  }
  KERNELS_INLINE Pack<float, 4> sums_of(int run, int r) const {
    Pack<float, 4> four;
#pragma unroll
    for (int e = 0; e < 4; ++e) four.lane[e] = sums_[r / 2][run / 2 * 4 + e][r % 2 * 2 + run % 2];
    return four;
  }

 private:
  static constexpr int i_count = Rows / 32, j_count = Columns / 16;  // of mma's 16 x 8
  float sums_[i_count][j_count][4];
};

/// Requires 128 threads, 16 x 8 of them: each has packs of four rows and of four columns, as far
/// apart as there are threads.
template <int Rows, int Columns>
class FmaProduct {
 public:
  using Type = float;
  static constexpr int rows = Rows, columns = Columns, depth = f32_depth, threads = 128;
  static constexpr int width = 4, rows_held = Rows / 16, runs_held = Columns / 32;

  KERNELS_INLINE int first_row() const { return int(threadIdx.x / 32) * 16; }
  KERNELS_INLINE int first_column() const { return 0; }

  KERNELS_INLINE void clear() {
#pragma unroll
    for (int r = 0; r < rows_held; ++r)
#pragma unroll
      for (int j = 0; j < runs_held; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[r][j].lane[e] = 0;
  }
  KERNELS_INLINE void add(const Tiles& tiles, uint32_t dy, uint32_t x) {
    const int upper = int(threadIdx.x) / 8, left = int(threadIdx.x) % 8;
#pragma unroll 4
    for (int pixel = 0; pixel < depth; ++pixel) {
      Pack<float, 4> a[rows_held / 4], b[runs_held];
#pragma unroll
      for (int i = 0; i < rows_held / 4; ++i) a[i] = channels_of(tiles, dy, upper + 16 * i, pixel);
#pragma unroll
      for (int j = 0; j < runs_held; ++j) b[j] = channels_of(tiles, x, left + 8 * j, pixel);
#pragma unroll
      for (int r = 0; r < rows_held; ++r)
#pragma unroll
        for (int j = 0; j < runs_held; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) sums_[r][j].lane[e] += a[r / 4].lane[r % 4] * b[j].lane[e];
    }
  }

  KERNELS_INLINE int row(int r) const { return r / 4 * 64 + int(threadIdx.x) / 8 * 4 + r % 4; }
  KERNELS_INLINE int column(int run) const { return run * 32 + int(threadIdx.x) % 8 * 4; }
  KERNELS_INLINE Pack<float, 4> sums_of(int run, int r) const { return sums_[r][run]; }

 private:
  Pack<float, 4> sums_[rows_held][runs_held];
};

template <class Product>
__global__ void __launch_bounds__(Product::threads, resident<Product>)
    grad_weight_f32_kernel(const __grid_constant__ Problem p,
                           const __grid_constant__ Operand<float> x,
                           const __grid_constant__ Operand<float> dy,
                           const __grid_constant__ Output to) {
  sum_products<Product>(p, x, dy, to);
}

void multiply_f32(const Multiplication& m, bool tf32) {
  const bool large = m.plan.columns == 128;
  if (tf32)
    m.start<float>(large ? grad_weight_f32_kernel<Tf32Product<128, 128>>
                         : grad_weight_f32_kernel<Tf32Product<64, 64>>);
  else
    m.start<float>(large ? grad_weight_f32_kernel<FmaProduct<128, 128>>
                         : grad_weight_f32_kernel<FmaProduct<64, 64>>);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight
