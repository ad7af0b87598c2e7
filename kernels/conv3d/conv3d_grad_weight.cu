#include "kernels/conv3d/conv3d_grad_weight.cuh"
#include "kernels/device/mma.h"

// Products of 16-bit types by tensor cores, and the sum of the splits.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight {

/// Each warp has a square of the tile, of 64 x 64 in a large one: that reads least of shared
/// memory. mma.sync takes both operands transposed from there: their pixels are its depth.
template <class T, int Rows, int Columns>
class NarrowProduct {
 public:
  using Type = T;
  static constexpr int rows = Rows, columns = Columns, depth = 64;
  static constexpr int side = Rows * Columns >= 128 * 128 ? 64 : 32;  // of a warp's square
  static constexpr int threads = Rows / side * (Columns / side) * 32;
  static constexpr int width = 2, rows_held = side / 8, runs_held = side / 8;

  KERNELS_INLINE NarrowProduct() {
    const uint32_t lane = threadIdx.x % 32;
    from_dy_ = place(lane / 16 * 8 + lane % 8, uint32_t(first_row()) + lane / 8 % 2 * 8);
    from_x_ = place(lane % 16, uint32_t(first_column()) + lane / 16 * 8);
  }
  KERNELS_INLINE int first_row() const { return int(threadIdx.x) / 32 % (Rows / side) * side; }
  KERNELS_INLINE int first_column() const { return int(threadIdx.x) / 32 / (Rows / side) * side; }

  KERNELS_INLINE void clear() {
#pragma unroll
    for (int i = 0; i < i_count; ++i)
#pragma unroll
      for (int j = 0; j < j_count; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] = 0;
  }
  /// Adds the products of a stage, whose tiles lie at `dy` and `x`. The next 16 pixels are read
  /// while those before are multiplied.
  KERNELS_INLINE void add(const Tiles& tiles, uint32_t dy, uint32_t x) {
    uint32_t a[2][i_count][4], b[2][j_count][2];
    read(tiles.address + dy, tiles.address + x, a[0], b[0]);
#pragma unroll
    for (uint32_t k = 0; k < depth / 16; ++k) {
      if (k + 1 < depth / 16) {
        const uint32_t next = (k + 1) * 16 * 128;
        read(tiles.address + dy + next, tiles.address + x + next, a[(k + 1) % 2], b[(k + 1) % 2]);
      }
      mma_tile<T>(sums_, a[k % 2], b[k % 2]);
    }
  }

  /// Sums that a thread holds: of `runs_held` runs of `width` columns in `rows_held` rows.
  KERNELS_INLINE int row(int r) const { return first_row() + r * 8 + int(threadIdx.x) % 32 / 4; }
  KERNELS_INLINE int column(int run) const {
    return first_column() + run * 8 + int(threadIdx.x) % 4 * 2;
  }
  KERNELS_INLINE Pack<float, 2> sums_of(int run, int r) const {
    return {{sums_[r / 2][run][r % 2 * 2], sums_[r / 2][run][r % 2 * 2 + 1]}};
  }

 private:
  static constexpr int i_count = rows_held / 2, j_count = runs_held;  // of mma's 16 x 8

  KERNELS_INLINE static uint32_t place(uint32_t pixel, uint32_t channel) {
    return channel / 64 * (depth * 128) +
           swizzled<Swizzle::bytes128>(pixel * 128 + channel % 64 * 2);
  }
  KERNELS_INLINE void read(uint32_t dy, uint32_t x, uint32_t (&a)[i_count][4],
                           uint32_t (&b)[j_count][2]) const {
    // A tile starts on a multiple of 1024, a warp's part of a row on one of 4 chunks: the next 16
    // channels lie where bits 5 and 6 of the address say.
#pragma unroll
    for (uint32_t i = 0; i < i_count; ++i) ldmatrix_trans(a[i], (dy + from_dy_) ^ i * 32);
#pragma unroll
    for (uint32_t j = 0; j < j_count / 2; ++j) {
      uint32_t both[4];
      ldmatrix_trans(both, (x + from_x_) ^ j * 32);
#pragma unroll
      for (int e = 0; e < 4; ++e) b[2 * j + uint32_t(e / 2)][e % 2] = both[e];
    }
  }

  float sums_[i_count][j_count][4];
  uint32_t from_dy_, from_x_;  ///< what ldmatrix reads first of 16 pixels
};

template <class Product, class T = typename Product::Type>
__global__ void __launch_bounds__(Product::threads, resident<Product>)
    grad_weight_kernel(const __grid_constant__ Problem p, const __grid_constant__ Operand<T> x,
                       const __grid_constant__ Operand<T> dy, const __grid_constant__ Output to) {
  sum_products<Product>(p, x, dy, to);
}

template <class T>
void multiply_narrow(const Multiplication& m) {
  if (m.plan.columns == 64)
    m.start<T>(grad_weight_kernel<NarrowProduct<T, 64, 64>>);
  else if (m.plan.columns == 128)
    m.start<T>(grad_weight_kernel<NarrowProduct<T, 128, 128>>);
  else if (m.plan.rows == 64)
    m.start<T>(grad_weight_kernel<NarrowProduct<T, 64, 256>>);
  else
    m.start<T>(grad_weight_kernel<NarrowProduct<T, 128, 256>>);
}

constexpr int adding_threads = 256;
using Four = Pack<float, 4>;

KERNELS_INLINE void add(Four& sum, const Four& more) {
#pragma unroll
  for (int e = 0; e < 4; ++e) sum.lane[e] += more.lane[e];
}

/// Adds up the splits of four columns of a row: `lanes` threads take successive runs of
/// splits each, and the first of them adds up theirs: an order that `splits` alone decides. Reads
/// each slot once.
__global__ void __launch_bounds__(adding_threads)
    grad_weight_splits_kernel(const float* slots, int64_t packs, FastDivisor packs_of_row,
                              int splits, int lanes, Output to) {
  KERNELS_SHARED(Four, parts, adding_threads);
  const int together = adding_threads / lanes;
  const int pack = int(threadIdx.x) % together, lane = int(threadIdx.x) / together;
  for (int64_t first = int64_t(blockIdx.x) * together; first < packs;
       first += int64_t(gridDim.x) * together) {
    const int64_t i = first + pack;
    Four sum{};
    if (i < packs) {
#pragma unroll 4
      for (int s = splits * lane / lanes; s < splits * (lane + 1) / lanes; ++s)
        add(sum, load_pack<4>(slots + (s * packs + i) * 4));
    }
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (lane == 0 && i < packs) {
      for (int l = 1; l < lanes; ++l) add(sum, parts[l * together + pack]);
      const int64_t row = packs_of_row.quotient(i);
      const int column = int(i - row * packs_of_row.divisor()) * 4;
      const Output::Column at = to.column(0, column, 4, int(packs_of_row.divisor()) * 4);
      const int64_t offset = row * to.row_stride;
      put<4>(at, offset, sum, load_lanes<4>(at.at + offset, to.accumulate ? at.sums : 0, to.packs),
             to.packs);
    }
    __syncthreads();
  }
}

void add_splits(Stream stream, const Problem& p, const float* slots, const Output& to) {
  const int64_t packs = int64_t(p.groups) * p.rows * p.columns / 4;
  int lanes = 1;
  while (lanes < 16 && 8 * lanes <= p.splits) lanes *= 2;
  launch("conv3d.grad_weight_splits", grad_weight_splits_kernel,
         {.grid = blocks_for(packs * lanes, adding_threads), .block = adding_threads}, stream,
         slots, packs, FastDivisor(p.columns / 4), p.splits, lanes, to);
}

namespace {

Problem problem_of(const Conv3dPlan& plan, const Conv3dOptions& o, const View& x, const View& dy,
                   const View& dw) {
  Problem p{};
  const auto narrow = [](int64_t size) {
    check(size <= INT32_MAX, "conv3d: a device takes axes of less than 2^31, got ", size);
    return int(size);
  };
  int64_t step = plan.depth;
  for (int i = 2; i >= 0; --i) {
    const auto a = size_t(i);
    const int64_t outputs = std::max<int64_t>(dy.shape[i + 1], 1);
    p.axis[i] = {.outputs = narrow(outputs),
                 .sources = narrow(x.shape[i + 1]),
                 .stride = narrow(o.stride[a]),
                 .padding = narrow(o.pad_front[a]),
                 .dilation = narrow(o.dilation[a]),
                 .taps = narrow(dw.shape[i + 1])};
    p.outputs[i] = FastDivisor(outputs);
    p.advance[i + 1] = int(step % outputs);
    step /= outputs;
  }
  p.advance[0] = int(step);
  const int64_t lanes = 16 / size_of(x.dtype), taps = dw.shape[1] * dw.shape[2] * dw.shape[3];
  p.groups = narrow(o.groups);
  p.rows = narrow(dw.shape[0] / o.groups);
  p.channels = narrow(dw.shape[4]);
  p.padded = narrow(round_up(p.channels, lanes));
  p.columns = narrow(taps * p.padded);
  p.row_tiles = (p.rows + plan.rows - 1) / plan.rows;
  p.column_tiles = (p.columns + plan.columns - 1) / plan.columns;
  p.splits = plan.splits;
  p.stages = plan.stages;
  p.clips = dy.shape[0];
  p.pixels = dy.shape[0] * dy.shape[1] * dy.shape[2] * dy.shape[3];
  p.steps = (p.pixels + plan.depth - 1) / plan.depth;
  return p;
}

}  // namespace

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

void grad_weight_gemm(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x,
                      View dy, View dw, bool accumulate) {
  using namespace weight;
  const Problem p = problem_of(plan, o, x, dy, dw);
  const Output to{.data = data<float>(dw),
                  .row_stride = dw.stride(0),
                  .taps = RowIndex(dw.slice(0, 0, 1)),
                  .padded = p.padded,
                  .channels = p.channels,
                  .tail = int(dw.tail),
                  .packs = aligned(dw),
                  .accumulate = accumulate};
  const Workspace slots(stream, plan.workspace_bytes);
  constexpr std::array<int64_t, 3> ones{1, 1, 1}, zeros{0, 0, 0};
  const bool one_tap = dw.shape[1] * dw.shape[2] * dw.shape[3] == 1 && o.stride == ones &&
                       o.pad_front == zeros && o.pad_back == zeros;
  Multiplication m{stream, plan, p, x, dy, one_tap, to};
  if (p.splits > 1)
    m.to = {.data = slots.data<float>(),
            .row_stride = p.columns,
            .split_stride = int64_t(p.groups) * p.rows * p.columns,
            .slots = true,
            .packs = true};
  if (x.dtype == Dtype::bf16)
    multiply_narrow<bf16>(m);
  else if (x.dtype == Dtype::f16)
    multiply_narrow<f16>(m);
  else
    multiply_f32(m, o.tf32);
  if (p.splits > 1) add_splits(stream, p, slots.data<float>(), to);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
