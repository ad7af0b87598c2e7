#include "kernels/device/async_copy.h"
#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/mma.h"
#include "kernels/device/registers.h"
#include "kernels/device/tma.h"
#include "kernels/device/wgmma.h"
#include "tests/tensor_core_device_test.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::tensor_core_test {

template <class T>
struct Matrix {
  T* data;
  int64_t stride;
  int rows, columns;
};
template <class T>
Matrix<T> matrix(View v) {
  return {data<T>(v), v.stride(0), int(v.shape[0]), int(v.shape[1])};
}

// ------------------------------------------------------------------------ cp.async, mma.sync

namespace mma_tiles {

constexpr int m = 64, n = 64, k = 32, threads = 128;
constexpr uint32_t a_bytes = m * k * 2, b_bytes = k * n * 2, stage_bytes = a_bytes + b_bytes;

/// Begins to copy tile `step` of a and of b, 16 bytes a thread and round; zeros outside of them.
template <class T>
KERNELS_INLINE void load(Matrix<const T> a, Matrix<const T> b, int step, uint32_t stage) {
#pragma unroll
  for (int round = 0; round < 2; ++round) {
    const int i = int(threadIdx.x) + round * threads;
    const int row = i / 4, from = step * k + i % 4 * 8, y = int(blockIdx.y) * m + row;
    const bool in_a = y < a.rows && from < a.columns;
    cp_async<16>(stage + swizzled<Swizzle::bytes64>(uint32_t(i) * 16),
                 a.data + (in_a ? y * a.stride + from : 0), in_a);
    const int depth = step * k + i / 8, x = int(blockIdx.x) * n + i % 8 * 8;
    const bool in_b = depth < b.rows && x < b.columns;
    cp_async<16>(stage + a_bytes + swizzled<Swizzle::bytes128>(uint32_t(i) * 16),
                 b.data + (in_b ? depth * b.stride + x : 0), in_b);
  }
}

/// sums += the stage's tiles, for the warp's 32 x 32.
template <class T>
KERNELS_INLINE void multiply(uint32_t stage, int row, int column, float (&sums)[2][4][4]) {
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (uint32_t depth = 0; depth < k; depth += 16) {
    uint32_t a[2][4], b[4][2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
      ldmatrix(a[i], stage + swizzled<Swizzle::bytes64>((uint32_t(row + i * 16) + lane % 16) * 64 +
                                                        depth * 2 + lane / 16 * 16));
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      uint32_t pair[4];
      ldmatrix_trans(
          pair, stage + a_bytes +
                    swizzled<Swizzle::bytes128>((depth + lane % 16) * 128 +
                                                uint32_t(column + j * 16) * 2 + lane / 16 * 16));
#pragma unroll
      for (int i = 0; i < 4; ++i) b[2 * j + i / 2][i % 2] = pair[i];
    }
    mma_tile<T>(sums, a, b);
  }
}

template <class T>
__global__ void __launch_bounds__(threads)
    multiply_kernel(Matrix<const T> a, Matrix<const T> b, Matrix<float> c) {
  const uint32_t shared = shared_address(dynamic_shared<char>());
  const int lane = int(threadIdx.x % 32), warp = int(threadIdx.x / 32);
  const int row = warp % 2 * 32, column = warp / 2 * 32, steps = (a.columns + k - 1) / k;
  float sums[2][4][4] = {};
  load(a, b, 0, shared);
  cp_async_commit();
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) load(a, b, step + 1, shared + uint32_t(step + 1) % 2 * stage_bytes);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    multiply<T>(shared + uint32_t(step) % 2 * stage_bytes, row, column, sums);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int y = int(blockIdx.y) * m + row + i * 16 + lane / 4 + e / 2 * 8;
        const int x = int(blockIdx.x) * n + column + j * 8 + lane % 4 * 2 + e % 2;
        if (y < c.rows && x < c.columns) c.data[y * c.stride + x] = sums[i][j][e];
      }
}

}  // namespace mma_tiles

void multiply_mma(Stream stream, View a, View b, View c) {
  using namespace mma_tiles;
  dispatch_activation("tensor_core_test", a.dtype, [&]<class T>(T) {
    if constexpr (sizeof(T) == 2)
      launch("tensor_core_test.mma", multiply_kernel<T>,
             {.grid = dim3(unsigned(c.shape[1] + n - 1) / n, unsigned(c.shape[0] + m - 1) / m),
              .block = threads,
              .shared_bytes = 2 * stage_bytes},
             stream, matrix<const T>(a), matrix<const T>(b), matrix<float>(c));
  });
}

// ------------------------------------------------------------------------ TMA, wgmma

namespace wgmma_tiles {

constexpr int m = 128, n = 64, k = 64, stages = 3;
constexpr int consumers = 2, threads = 128 * (1 + consumers);
constexpr uint32_t a_bytes = m * k * 2, b_bytes = n * k * 2, stage_bytes = a_bytes + b_bytes;

/// Stages of tiles and their mbarriers, in shared memory: full tells the consumers, empty the
/// producer.
struct Ring {
  uint32_t tiles, full, empty;

  KERNELS_INLINE uint32_t a(int step) const {
    return tiles + uint32_t(step % stages) * stage_bytes;
  }
  KERNELS_INLINE uint32_t b(int step) const { return a(step) + a_bytes; }
  KERNELS_INLINE uint32_t full_at(int step) const { return full + uint32_t(step % stages) * 8; }
  KERNELS_INLINE uint32_t empty_at(int step) const { return empty + uint32_t(step % stages) * 8; }
  KERNELS_INLINE static uint32_t parity(int step) { return uint32_t(step / stages) & 1; }
};

/// Called by the whole block.
KERNELS_INLINE Ring make_ring() {
  KERNELS_SHARED(uint64_t, barriers, 2 * stages);
  const uint32_t first = shared_address(barriers);
  const Ring ring{shared_address(tile_memory<char>()), first, first + 8 * stages};
  if (threadIdx.x == 0) {
    for (int i = 0; i < stages; ++i) {
      mbarrier_init(ring.full_at(i), 1);
      mbarrier_init(ring.empty_at(i), consumers);
    }
    fence_mbarrier_init();
  }
  __syncthreads();
  return ring;
}

/// The producer's loop: `load(step)` asks for both tiles of a step.
template <class Load>
KERNELS_INLINE void produce(const Ring& ring, int steps, Load load) {
  register_dealloc<40>();
  if (threadIdx.x >= 32 || !elect_one()) return;
  for (int step = 0; step < steps; ++step) {
    mbarrier_wait(ring.empty_at(step), Ring::parity(step) ^ 1);
    mbarrier_arrive_expect_tx(ring.full_at(step), stage_bytes);
    load(step);
  }
}

/// The consumers' loop, each for 64 rows of c.
KERNELS_INLINE void consume(const Ring& ring, int steps, Matrix<bf16> c) {
  register_alloc<232>();
  const int group = int(threadIdx.x) / 128 - 1, t = int(threadIdx.x) % 128;
  float sums[n / 2] = {};
  for (int step = 0; step < steps; ++step) {
    mbarrier_wait(ring.full_at(step), Ring::parity(step));
    wgmma_hold(sums);
    wgmma_fence();
#pragma unroll
    for (uint32_t depth = 0; depth < k * 2; depth += 32) {
      const uint32_t from = ring.a(step) + uint32_t(group) * 64 * k * 2 + depth;
      const uint64_t a = wgmma_descriptor<Swizzle::bytes128>(from, 0, 1024);
      const uint64_t b = wgmma_descriptor<Swizzle::bytes128>(ring.b(step) + depth, 0, 1024);
      wgmma<bf16>(sums, a, b);
    }
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_hold(sums);
    if (t == 0) mbarrier_arrive(ring.empty_at(step));
  }
#pragma unroll
  for (int i = 0; i < n / 2; ++i) {
    const int y = int(blockIdx.y) * m + group * 64 + t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
    const int x = int(blockIdx.x) * n + i / 4 * 8 + t % 4 * 2 + i % 2;
    if (y < c.rows && x < c.columns) c.data[y * c.stride + x] = from_float<bf16>(sums[i]);
  }
}

__global__ void __launch_bounds__(threads, 1)
    multiply_kernel(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                    int steps, Matrix<bf16> c) {
  const Ring ring = make_ring();
  if (threadIdx.x >= 128) return consume(ring, steps, c);
  produce(ring, steps, [&](int step) {
    const int y = int(blockIdx.y) * m, x = int(blockIdx.x) * n;
    tma_load(ring.a(step), &a, ring.full_at(step), {step * k, y});
    tma_load(ring.b(step), &b, ring.full_at(step), {step * k, x});
  });
}

/// Axes width, height, depth.
struct Walk {
  int outputs[3], filter[3], stride[3], padding[3];
  int chunks;  ///< of k channels
};

__global__ void __launch_bounds__(threads, 1)
    convolve_kernel(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap filter,
                    const Walk walk, Matrix<bf16> y) {
  const Ring ring = make_ring();
  const int steps = walk.filter[0] * walk.filter[1] * walk.filter[2] * walk.chunks;
  if (threadIdx.x >= 128) return consume(ring, steps, y);
  int at[3], pixel = int(blockIdx.y) * m;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    at[i] = pixel % walk.outputs[i] * walk.stride[i] - walk.padding[i];
    pixel /= walk.outputs[i];
  }
  produce(ring, steps, [&](int step) {
    const int tap = step / walk.chunks, channel = step % walk.chunks * k;
    const int row = tap / walk.filter[0];
    tma_load_im2col(ring.a(step), &x, ring.full_at(step), {channel, at[0], at[1], at[2], pixel},
                    {tap % walk.filter[0], row % walk.filter[1], row / walk.filter[1]});
    tma_load(ring.b(step), &filter, ring.full_at(step), {step * k, int(blockIdx.x) * n});
  });
}

/// Tiles of `rows` x k of a matrix whose rows may be longer than `columns`.
TensorMap map_of(View v, int64_t rows, int64_t columns, int64_t stride, int box) {
  return tensor_map(TiledTensor{.data = v.data,
                                .type = Dtype::bf16,
                                .rank = 2,
                                .size = {columns, rows},
                                .stride = {0, stride * 2},
                                .box = {k, box},
                                .swizzle = Swizzle::bytes128});
}
Geometry geometry_of(int64_t rows, int64_t columns) {
  return {.grid = dim3(unsigned(columns + n - 1) / n, unsigned(rows + m - 1) / m),
          .block = threads,
          .shared_bytes = stages * stage_bytes + 1024};
}

}  // namespace wgmma_tiles

void multiply_wgmma(Stream stream, View a, View b, View c) {
  using namespace wgmma_tiles;
  launch("tensor_core_test.wgmma", wgmma_tiles::multiply_kernel,
         geometry_of(c.shape[0], c.shape[1]), stream,
         map_of(a, a.shape[0], a.shape[1], a.stride(0), m),
         map_of(b, b.shape[0], b.shape[1], b.stride(0), n), int(a.shape[1] + k - 1) / k,
         matrix<bf16>(c));
}

void convolve(Stream stream, const test::ConvolutionCase& p, View x, View filter, View y) {
  using namespace wgmma_tiles;
  Im2colTensor pixels{.data = x.data,
                      .type = Dtype::bf16,
                      .rank = 5,
                      .size = {x.shape[4]},
                      .channels = k,
                      .pixels = m,
                      .swizzle = Swizzle::bytes128};
  Walk walk{};
  walk.chunks = int(x.shape[4] / k);
  int64_t rows = y.shape[0];
  for (int i = 0; i < 4; ++i) {  // the axes from width to clips
    pixels.size[i + 1] = x.shape[3 - i];
    pixels.stride[i + 1] = x.stride(3 - i) * 2;
    if (i == 3) continue;
    walk.outputs[i] = int(y.shape[3 - i]);
    walk.filter[i] = int(filter.shape[3 - i]);
    walk.stride[i] = pixels.step[i + 1] = int(p.stride[2 - i]);
    walk.padding[i] = int(p.padding[2 - i]);
    pixels.lower[i] = -walk.padding[i];
    pixels.upper[i] =
        (walk.outputs[i] - 1) * walk.stride[i] + 1 - int(x.shape[3 - i]) - walk.padding[i];
    rows *= y.shape[3 - i];
  }
  const int64_t length = filter.stride(0);
  launch("tensor_core_test.convolve", convolve_kernel, geometry_of(rows, y.shape[4]), stream,
         tensor_map(pixels), map_of(filter, filter.shape[0], length, length, n), walk,
         Matrix<bf16>{data<bf16>(y), y.stride(3), int(rows), int(y.shape[4])});
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::tensor_core_test

namespace kinema::test {

namespace implementation = kernels::device::tensor_core_test;

const TensorCoreKernels KERNELS_DEVICE(tensor_core_kernels) = {
    .multiply_mma = implementation::multiply_mma,
    .multiply_wgmma = implementation::multiply_wgmma,
    .convolve = implementation::convolve};

}  // namespace kinema::test
