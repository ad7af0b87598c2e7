#pragma once
#include "kernels/conv3d/conv3d_grad_weight_load.cuh"
#include "kernels/device/launch.h"
#include "kernels/device/tma.h"

// grad_weight of any problem as a product of matrices, a group at a time:
//   dw[k][tap, c] = sum over pixels p of y of dy[p][k] * x[where the tap reads for p][c]
//   rows     channels of dy
//   columns  taps times channels of x, padded to whole chunks of 16 bytes: a chunk has one tap,
//            and a tile as many taps as fill it
//   depth    pixels, in steps of one stage; splits take their share of the steps

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight {

/// Pixels whose products are added up in registers before their sums are added to those before:
/// tensor cores cut sums off instead of rounding them, which costs up to 3e-8 of the sum for each
/// 16 pixels (Ootomo and Yokota, arXiv:2203.03341, section 3). So many pixels cost 4e-6 at most,
/// however many runs follow: those sums are rounded.
constexpr int run_pixels = 2048;

/// Where sums go: dw, or the slots of the splits, [split][row of all groups][column].
struct Output {
  float* data = nullptr;
  int64_t row_stride = 0, split_stride = 0;
  RowIndex taps = {};  ///< of dw
  int padded = 0, channels = 0, tail = 0;
  bool slots = false, packs = false, accumulate = false;

  struct Column {
    float* at;         ///< in row 0
    int sums, stored;  ///< how many of the columns from here on are sums; are written
  };
  /// Of `width` columns of one tap, the first of them `column`.
  KERNELS_INLINE Column column(int64_t split, int column, int width, int columns) const {
    if (column >= columns) return {data, 0, 0};
    if (slots) return {data + split * split_stride + column, width, width};
    const int tap = column / padded, c = column - tap * padded;
    return {data + taps(tap) + c, std::clamp(channels - c, 0, width),
            std::clamp(channels + tail - c, 0, width)};
  }
};

/// `sums`, to which `old` is added, with zeros in the lanes behind them.
template <int Width>
KERNELS_INLINE void put(const Output::Column& to, int64_t offset, const Pack<float, Width>& sums,
                        const Pack<float, Width>& old, bool packs) {
  Pack<float, Width> all;
#pragma unroll
  for (int e = 0; e < Width; ++e) all.lane[e] = e < to.sums ? old.lane[e] + sums.lane[e] : 0;
  store_lanes<Width>(to.at + offset, all, to.stored, packs);
}

/// Waits until the oldest of the stages under way is filled.
KERNELS_INLINE void wait_for_stage(int stages) {
  if (stages == 2)
    cp_async_wait<0>();
  else if (stages == 3)
    cp_async_wait<1>();
  else
    cp_async_wait<2>();
}

/// Adds the product's sums to what lies there if `add`, else overwrites it.
template <class Product>
KERNELS_INLINE void store(const Product& product, const Problem& p, const Place& at,
                          const Output& to, bool add) {
  constexpr int width = Product::width, rows = Product::rows_held;
  // Several reads are under way at a time: registers that the loop needed are free here.
  constexpr int batch = std::max(1, std::min(Product::runs_held, 32 / (width * rows)));
  const auto offset = [&](int row) { return (int64_t(at.group) * p.rows + row) * to.row_stride; };
#pragma unroll
  for (int first = 0; first < Product::runs_held; first += batch) {
    Output::Column columns[batch];
    Pack<float, width> old[batch][rows];
#pragma unroll
    for (int b = 0; b < batch; ++b) {
      columns[b] = to.column(at.split, at.column + product.column(first + b), width, p.columns);
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        const int row = at.row + product.row(r);
        old[b][r] = load_lanes<width>(columns[b].at + offset(row),
                                      add && row < p.rows ? columns[b].sums : 0, to.packs);
      }
    }
#pragma unroll
    for (int b = 0; b < batch; ++b)
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        const int row = at.row + product.row(r);
        if (row < p.rows)
          put<width>(columns[b], offset(row), product.sums_of(first + b, r), old[b][r], to.packs);
      }
  }
}

/// A block's part of the pass: one tile of one split.
template <class Product>
KERNELS_INLINE void sum_products(const Problem& p, const Operand<typename Product::Type>& x,
                                 const Operand<typename Product::Type>& dy, const Output& to) {
  using Load = Loader<Product>;
  KERNELS_SHARED(Table<Product::depth>, table, 1);
  KERNELS_SHARED(Place, place, 1);
  char* const memory = tile_memory<char>();
  const Tiles tiles{memory, shared_address(memory)};
  const Place at = place_of(p, Product::rows, Product::columns);
  if (threadIdx.x == 0) place[0] = at;
  const int steps = at.steps, ahead = p.stages - 1;
  const uint32_t end_of_stages = uint32_t(p.stages) * Load::stage_bytes;

  Load loader(p, x, dy, at, tiles, table[0]);
  uint32_t stage = 0;
  for (int step = 0; step < ahead; ++step, stage += Load::stage_bytes) {
    __syncthreads();
    loader.load(step, stage, step < steps);
  }

  Product product;
  // Warps whose part of the tile lies outside of dw leave the tensor cores to others.
  const bool inside =
      at.row + product.first_row() < p.rows && at.column + product.first_column() < p.columns;
  bool add = to.accumulate;
  int step = 0;
  do {
    const int end = std::min(step + run_pixels / Product::depth, steps);
    product.clear();
    for (; step < end; ++step) {
      wait_for_stage(p.stages);
      __syncthreads();
      loader.load(step + ahead, stage, step + ahead < steps);
      stage = stage + Load::stage_bytes == end_of_stages ? 0 : stage + Load::stage_bytes;
      if (inside) product.add(tiles, stage, stage + Load::dy_bytes);
    }
    store(product, p, place[0], to, add);
    add = true;
  } while (step < steps);
}

/// Blocks of a multiprocessor: as many as their registers allow.
template <class Product>
constexpr int resident = Product::rows* Product::columns == 64 * 64 ? 3 : 256 / Product::threads;

/// One pass's products, for the kernel that its type and tile have.
struct Multiplication {
  Stream stream;
  const Conv3dPlan& plan;
  const Problem& p;
  View x, dy;
  bool one_tap;  ///< each pixel of y reads the one of x that has its number
  Output to;

  template <class T>
  void start(void (*kernel)(Problem, Operand<T>, Operand<T>, Output)) const {
    const int64_t blocks = int64_t(p.row_tiles) * p.column_tiles * p.groups * p.splits;
    check(blocks <= INT32_MAX, "conv3d: a device takes less than 2^31 tiles, got ", blocks);
    launch("conv3d.grad_weight", kernel,
           {.grid = dim3(unsigned(blocks)),
            .block = unsigned(plan.threads),
            .shared_bytes = plan.shared_bytes},
           stream, p, operand<T>(x, p.channels, one_tap), operand<T>(dy, p.rows, true), to);
  }

 private:
  /// `channels` of a group.
  template <class T>
  Operand<T> operand(const View& v, int channels, bool by_number) const {
    return {data<const T>(v),
            {v.stride(0), v.stride(1), v.stride(2), v.stride(3)},
            aligned(v) && (p.groups == 1 || channels % pack_lanes<T> == 0),
            by_number && uniform_rows(v)};
  }
};

/// Those of f32: conv3d_grad_weight_f32.cu.
void multiply_f32(const Multiplication&, bool tf32);

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight
