#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/conv3d/conv3d_stem.cuh"
#include "kernels/device/mma.h"

// grad_weight of a stem. Requires what conv3d_stem_plan() says: x are frames, one group, no
// dilation of W. A block sums over its part of the tiles: slabs of x and tiles of dy come through a
// pipeline; fragments of dy by ldmatrix, those of x gathered from the slab by loads of single
// elements, once for all filters. A second kernel adds the parts in their order.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

namespace stem {

constexpr int weight_threads = Conv3dStemWeight::pixels;
constexpr int weight_rows = Conv3dStemWeight::rows, weight_columns = Conv3dStemWeight::columns;
constexpr int row_tiles = weight_rows / 16, column_tiles = weight_columns / 8 / 4;

/// A warp's sums, each tile of 16 x 8 in the layout of mma's d.
using WeightSums = float[column_tiles][row_tiles][4];

/// How the product's rows and columns are divided among blocks, and its pixels among parts.
struct WeightWork {
  int filters, depth;  ///< of w: K; elements of a frame
  int groups, chunks;
  bool march;  ///< rows are 8 filters for each of the filter's frames
  int64_t tiles;
  FastDivisor parts;

  KERNELS_INLINE int first_tile(int64_t part) const { return int(parts.quotient(part * tiles)); }
};

/// A block's part: rows from filter `filter` on, columns from `column` on of `taps` frames of w
/// from `frame` on. A warp has `warp_tiles` tiles of 8 columns.
struct WeightShare {
  int filter, frame, taps, column, columns, warp_tiles, row_tiles;

  template <class T>
  KERNELS_INLINE WeightShare(const WeightWork& work, const Frames<T>& x) {
    const int block = int(blockIdx.x) / work.chunks, group = block % work.groups;
    frame = group * x.stem.taps;
    taps = work.march ? 1 : x.filter_frames - frame;
    if (taps > x.stem.taps) taps = x.stem.taps;
    filter = block / work.groups * weight_rows;
    column = int(blockIdx.x) % work.chunks * weight_columns;
    columns = taps * work.depth - column;
    if (columns > weight_columns) columns = weight_columns;
    warp_tiles = columns > 0 ? (columns + 31) / 32 : 0;
    int rows = work.march ? x.filter_frames * 8 : work.filters - filter;
    row_tiles = ((rows < weight_rows ? rows : weight_rows) + 15) / 16;
  }
};

template <class T>
struct Gradient {
  static constexpr int pitch = sizeof(T) == 4 ? 288 : 144;  ///< of a pixel in shared memory, bytes

  explicit Gradient(const View& dy)
      : data(static_cast<const T*>(dy.data)),
        stride{dy.stride(0), dy.stride(1), dy.stride(2), dy.stride(3)},
        frames(int(dy.shape[1])),
        height(int(dy.shape[2])),
        width(int(dy.shape[3])),
        packs(aligned(dy)) {}

  /// Begins to copy the product's rows for a tile's pixels, zeros where there are none.
  KERNELS_INLINE void load(char* to, const Frames<T>& x, const WeightWork& work, int filter,
                           const Tile& tile) const {
    constexpr int lanes = pack_lanes<T>, chunks = weight_rows / lanes;
    const T* const clip = data + tile.n * stride[0];
    const uint32_t address = shared_address(to);
    for (int i = int(threadIdx.x); i < weight_threads * chunks; i += weight_threads) {
      const int p = i / chunks, row = i % chunks * lanes;
      const int h = tile.h + p / x.stem.tile_w, w = tile.w + p % x.stem.tile_w;
      const int tap = work.march ? row / 8 : 0, k = work.march ? row % 8 : filter + row;
      const int t = work.march ? tile.t + x.pad_t - tap : tile.t;
      const bool inside = h < height && w < width && k < work.filters && t >= 0 && t < frames &&
                          tap < x.filter_frames;
      const int rest = work.filters - k < lanes ? work.filters - k : lanes;
      const T* const from = clip + (inside ? t * stride[1] + h * stride[2] + w * stride[3] + k : 0);
      const int at = p * pitch + row * int(sizeof(T));
      if (packs)
        cp_async<16>(address + uint32_t(at), from, inside ? rest * int(sizeof(T)) : 0);
      else
        store_pack<lanes>(reinterpret_cast<T*>(to + at),
                          load_lanes<lanes>(from, inside ? rest : 0, false));
    }
  }

  const T* data;
  int64_t stride[4];
  int frames, height, width;
  bool packs;
};

/// What a block multiplies: a tile's slab and dy, of which pixels up to `height` and `width` count.
struct WeightOperands {
  const char *slab, *dy;
  int height, width;
};

/// Where a column's element lies in a slab, from the run of a pixel on; 0 for columns that the
/// block has not.
template <class T>
KERNELS_INLINE int column_offset(const Frames<T>& x, const WeightWork& work,
                                 const WeightShare& share, int column) {
  if (column >= share.columns) return 0;
  const int element = share.column + column, run = work.depth / x.filter_rows;
  const int frame = element / work.depth, row = element / run - frame * x.filter_rows;
  return (frame * x.stem.slab_rows + row * x.dilation_h) * x.stem.row_bytes +
         (element % run + x.stem.shift) * int(sizeof(T));
}

/// sums += products over a tile's pixels, by tensor cores: 16 of them a step, 8 of f32 as TF32.
template <class T>
class WeightProduct {
 public:
  KERNELS_INLINE WeightProduct(const Frames<T>& x, const WeightWork& work, const WeightShare& share)
      : share_(share) {
#pragma unroll
    for (int j = 0; j < column_tiles; ++j)
      offset_[j] = column_offset(
          x, work, share,
          (int(threadIdx.x) / 32 * share.warp_tiles + j) * 8 + int(threadIdx.x) % 32 / 4);
  }

  KERNELS_INLINE void multiply(const Frames<T>& x, const WeightOperands& o,
                               WeightSums& sums) const {
    const int lane = int(threadIdx.x) % 32;
    for (int p = 0; p < weight_threads; p += depth) {
      if (p / x.stem.tile_w >= o.height) break;
      uint32_t a[row_tiles][4];
      load_rows(o.dy + p * Gradient<T>::pitch, a);
      Pixel pixel[2][lanes];
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int e = 0; e < lanes; ++e) {
          const int q = p + lane % 4 * lanes + e + i * 4 * lanes;
          pixel[i][e] = {x.run_of(q), q / x.stem.tile_w < o.height && q % x.stem.tile_w < o.width};
        }
#pragma unroll
      for (int j = 0; j < column_tiles; ++j) {
        if (j >= share_.warp_tiles) continue;
        const uint32_t b[2] = {element(o.slab + offset_[j], pixel[0]),
                               element(o.slab + offset_[j], pixel[1])};
#pragma unroll
        for (int i = 0; i < row_tiles; ++i)
          if (i < share_.row_tiles) mma<T>(sums[j][i], a[i], b);
      }
    }
  }

 private:
  static constexpr int lanes = 4 / int(sizeof(T)), depth = 8 * lanes;
  struct Pixel {
    int run;
    bool inside;
  };

  /// Fragments of dy, of which `pixels` is the step's first.
  KERNELS_INLINE void load_rows(const char* pixels, uint32_t (&a)[row_tiles][4]) const {
    constexpr int pitch = Gradient<T>::pitch;
    const int lane = int(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < row_tiles; ++i) {
      if constexpr (lanes == 2) {
        ldmatrix_trans(a[i], shared_address(pixels) + uint32_t((lane % 8 + lane / 16 * 8) * pitch +
                                                               i * 32 + lane / 8 % 2 * 16));
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          a[i][e] = tf32_register_of(*reinterpret_cast<const float*>(
              pixels + (lane % 4 + e / 2 * 4) * pitch + (i * 16 + lane / 4 + e % 2 * 8) * 4));
      }
    }
  }
  KERNELS_INLINE static uint32_t element(const char* column, const Pixel (&pixel)[lanes]) {
    if constexpr (lanes == 1) {
      if (!pixel[0].inside) return 0;
      return tf32_register_of(*reinterpret_cast<const float*>(column + pixel[0].run));
    } else {
      uint32_t half[2] = {};
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (pixel[e].inside) half[e] = *reinterpret_cast<const uint16_t*>(column + pixel[e].run);
      return half[0] | half[1] << 16;
    }
  }

  const WeightShare& share_;
  int offset_[column_tiles];
};

/// The same by FMA.
class ExactWeightProduct {
 public:
  KERNELS_INLINE ExactWeightProduct(const Frames<float>& x, const WeightWork& work,
                                    const WeightShare& share)
      : share_(share) {
#pragma unroll
    for (int j = 0; j < column_tiles; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        offset_[j][e] = column_offset(
            x, work, share,
            (int(threadIdx.x) / 32 * share.warp_tiles + j) * 8 + int(threadIdx.x) % 4 * 2 + e);
  }

  KERNELS_INLINE void multiply(const Frames<float>& x, const WeightOperands& o,
                               WeightSums& sums) const {
    const char* const dy = o.dy + int(threadIdx.x) % 32 / 4 * 4;
    for (int p = 0; p < weight_threads; ++p) {
      if (p / x.stem.tile_w >= o.height) break;
      if (p % x.stem.tile_w >= o.width) continue;
      float a[row_tiles][2];
#pragma unroll
      for (int i = 0; i < row_tiles * 2; ++i)
        a[i / 2][i % 2] = *reinterpret_cast<const float*>(dy + p * Gradient<float>::pitch + i * 32);
      const char* const run = o.slab + x.run_of(p);
#pragma unroll
      for (int j = 0; j < column_tiles; ++j) {
        if (j >= share_.warp_tiles) continue;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const float b = *reinterpret_cast<const float*>(run + offset_[j][e]);
#pragma unroll
          for (int i = 0; i < row_tiles * 2; ++i)
            sums[j][i / 2][i % 2 * 2 + e] += a[i / 2][i % 2] * b;
        }
      }
    }
  }

 private:
  const WeightShare& share_;
  int offset_[column_tiles][2];
};

template <class Product>
using WeightProductOf = std::conditional_t<std::is_same_v<Product, Exact>, ExactWeightProduct,
                                           WeightProduct<Element<Product>>>;

/// put(i, sum) for each element i of w, [K][elements], that the block has; by shared memory, so
/// that neighbours are of one warp.
template <class F>
KERNELS_INLINE void each_sum(const WeightWork& work, const WeightShare& share, int filter_frames,
                             const WeightSums& sums, float* shared, F put) {
  constexpr int pitch = Conv3dStemWeight::sum_pitch;
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < column_tiles; ++j) {
    if (j >= share.warp_tiles) continue;
    float* const to = shared + (warp * share.warp_tiles + j) * 8 + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < row_tiles * 2; ++i)
      store_pack<2>(to + (i * 8 + lane / 4) * pitch,
                    Pack<float, 2>{{sums[j][i / 2][i % 2 * 2], sums[j][i / 2][i % 2 * 2 + 1]}});
  }
  __syncthreads();
  for (int row = warp; row < weight_rows; row += weight_threads / 32) {
    const int k = work.march ? row % 8 : share.filter + row;
    const int frame = work.march ? row / 8 : share.frame;
    if (k >= work.filters || frame >= filter_frames) continue;
    const int64_t first = (int64_t(k) * filter_frames + frame) * work.depth + share.column;
    for (int column = lane; column < share.columns; column += 32)
      put(first + column, shared[row * pitch + column]);
  }
}

/// dw, whose rows of kw*C elements are `run` long.
struct WeightResult {
  float* data;
  int64_t run;
  RowIndex rows;  ///< of [K, kt, kh] runs
  bool accumulate;

  KERNELS_INLINE void put(int64_t i, float sum) const {
    const int64_t row = i / run;
    float* const to = data + rows(row) + (i - row * run);
    *to = accumulate ? sum + *to : sum;
  }
};

/// Sums go to their part of `parts`, or, if there is but one, to w.
template <class Product, class T = Element<Product>>
__global__ void __launch_bounds__(weight_threads, 3)
    grad_weight_kernel(const Frames<T> x, const Gradient<T> dy, const WeightWork work, float* parts,
                       const WeightResult result) {
  char* const shared = dynamic_shared<char>();
  const int dy_bytes = weight_threads * Gradient<T>::pitch;
  const int slot_bytes = dy_bytes + x.stem.slab_bytes;
  const WeightShare share(work, x);
  const int end = work.first_tile(blockIdx.y + 1);

  // Tiles from which the block's frames of the filter reach x.
  const auto first_frame = [&](const Tile& tile) {
    return work.march ? tile.t : tile.t * x.step_t - x.pad_t + share.frame * x.dilation_t;
  };
  const auto skip = [&](int index) {
    for (; index < end; ++index) {
      const int t = first_frame(x.tile(index));
      if (t < x.frames && t + (share.taps - 1) * x.dilation_t >= 0) break;
    }
    return index;
  };
  const auto load = [&](int index, int slot) {
    if (index < end) {
      const Tile tile = x.tile(index);
      char* const to = shared + slot * slot_bytes;
      dy.load(to, x, work, share.filter, tile);
      x.template load<weight_threads>(shared_address(to) + uint32_t(dy_bytes), tile,
                                      first_frame(tile), share.taps);
    }
    cp_async_commit();
  };

  const WeightProductOf<Product> product(x, work, share);
  WeightSums sums = {};
  int index = skip(work.first_tile(blockIdx.y));
  load(index, 0);
  for (int slot = 0; index < end; slot ^= 1) {
    const int next = skip(index + 1);
    cp_async_wait<0>();
    __syncthreads();
    load(next, slot ^ 1);
    const Tile tile = x.tile(index);
    const char* const from = shared + slot * slot_bytes;
    product.multiply(x, {from + dy_bytes, from, dy.height - tile.h, dy.width - tile.w}, sums);
    index = next;
  }
  const int64_t count = int64_t(work.filters) * x.filter_frames * work.depth;
  each_sum(work, share, x.filter_frames, sums, dynamic_shared<float>(), [&](int64_t i, float sum) {
    if (parts)
      parts[blockIdx.y * count + i] = sum;
    else
      result.put(i, sum);
  });
}

/// Lanes have elements side by side, each of the block's 8 warps every 8th part.
__global__ void __launch_bounds__(256)
    add_parts_kernel(const float* parts, int64_t count, int parts_count, WeightResult result) {
  KERNELS_SHARED(float, partial, 256);
  const int lane = int(threadIdx.x % 32), warp = int(threadIdx.x / 32);
  const int64_t i = blockIdx.x * int64_t(32) + lane;
  float sum = 0;
  if (i < count) {
#pragma unroll 4
    for (int part = warp; part < parts_count; part += 8) sum += parts[part * count + i];
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  if (warp != 0 || i >= count) return;
#pragma unroll
  for (int w = 1; w < 8; ++w) sum += partial[w * 32 + lane];
  result.put(i, sum);
}

}  // namespace stem

void grad_weight_stem(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x,
                      View dy, View dw, bool accumulate) {
  using namespace stem;
  const Shape& w = dw.shape;
  const Conv3dStemWeight g = conv3d_stem_weight(o, x.shape, w, x.dtype);
  const WeightWork work = {.filters = int(w[0]),
                           .depth = int(w[2] * w[3] * w[4]),
                           .groups = g.groups,
                           .chunks = g.chunks,
                           .march = g.march,
                           .tiles = g.stem.tiles,
                           .parts = FastDivisor(plan.splits)};
  View runs = dw;
  runs.shape = {w[0], w[1], w[2], w[3] * w[4]};
  const WeightResult result = {data<float>(dw), w[3] * w[4], RowIndex(runs), accumulate};
  const Workspace parts(stream, plan.workspace_bytes);
  with_product(x.dtype, o.tf32, [&]<class Product>(Product) {
    using T = Element<Product>;
    Frames<T> frames(o, x, dw, dy, g.stem);
    if (g.march) frames.tiles_t = SmallDivisor(x.shape[1]);
    launch("conv3d.grad_weight_stem", grad_weight_kernel<Product>,
           {.grid = dim3(unsigned(g.blocks), unsigned(plan.splits)),
            .block = weight_threads,
            .shared_bytes = plan.shared_bytes},
           stream, frames, Gradient<T>(dy), work, plan.splits > 1 ? parts.data<float>() : nullptr,
           result);
  });
  if (plan.splits == 1) return;
  launch("conv3d.grad_weight_stem_add", add_parts_kernel,
         {.grid = dim3(unsigned((w.size() + 31) / 32)), .block = 256}, stream, parts.data<float>(),
         w.size(), plan.splits, result);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
