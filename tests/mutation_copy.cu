#include "kernels/device/async_copy.h"
#include "kernels/device/device.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/mma.h"
#include "kernels/device/tma.h"
#include "kernels/device/wgmma.h"
#include "tests/support/mutants.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::mutants {

// ------------------------------------------------------------------------ product

constexpr int tile = 64, depth = 32, product_threads = 128;
constexpr uint32_t a_bytes = tile * depth * 2, b_bytes = depth * tile * 2;
constexpr uint32_t stage_bytes = a_bytes + b_bytes;

/// Where byte `at` of a tile lies.
template <Fault F, Swizzle S>
KERNELS_INLINE uint32_t place(uint32_t at) {
  return F == Fault::no_swizzle_at_all ? at : swizzled<S>(at);
}

/// Begins to copy step `step` of a [rows][K] and b [K][columns]; zeros outside of them.
template <Fault F>
KERNELS_INLINE void load(const bf16* a, const bf16* b, int step, uint32_t stage) {
  for (int round = 0; round < 2; ++round) {
    const int i = int(threadIdx.x) + round * product_threads;
    const int y = i / 4, from = step * depth + i % 4 * 8;
    const bool in_a = y < test::product_rows && from < test::product_depth;
    cp_async<16>(stage + place<F, Swizzle::bytes64>(uint32_t(i) * 16),
                 a + (in_a ? y * test::product_depth + from : 0), in_a);
    const int k = step * depth + i / 8, x = i % 8 * 8;
    const bool in_row = x < test::product_columns || F == Fault::unguarded_copy;
    const bool in_b = k < test::product_depth && in_row;
    cp_async<16>(stage + a_bytes + place<F, Swizzle::bytes128>(uint32_t(i) * 16),
                 b + (in_b ? k * test::product_columns + x : 0), in_b);
  }
  if constexpr (F != Fault::no_commit) cp_async_commit();
}

/// sums += the stage's tiles, for the warp's 32 x 32.
template <Fault F>
KERNELS_INLINE void multiply(uint32_t stage, float (&sums)[2][4][4]) {
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t row = warp % 2 * 32, column = warp / 2 * 32;
#pragma unroll
  for (uint32_t k = 0; k < depth; k += 16) {
    uint32_t a[2][4], b[4][2];
#pragma unroll
    for (uint32_t i = 0; i < 2; ++i) {
      const uint32_t at = (row + i * 16 + lane % 16) * 64 + k * 2 + lane / 16 * 16;
      ldmatrix(
          a[i],
          stage + (F == Fault::ldmatrix_without_swizzle ? at : place<F, Swizzle::bytes64>(at)));
    }
#pragma unroll
    for (uint32_t j = 0; j < 2; ++j) {
      uint32_t pair[4];
      ldmatrix_trans(pair, stage + a_bytes +
                               place<F, Swizzle::bytes128>((k + lane % 16) * 128 +
                                                           (column + j * 16) * 2 + lane / 16 * 16));
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i) b[2 * j + i / 2][i % 2] = pair[i];
    }
    mma_tile<bf16>(sums, a, b);
  }
}

/// c = a * b by one block, two stages.
template <Fault F>
__global__ void __launch_bounds__(product_threads)
    product_kernel(const bf16* a, const bf16* b, float* c) {
  const uint32_t shared = shared_address(dynamic_shared<char>());
  constexpr int steps = (test::product_depth + depth - 1) / depth;
  float sums[2][4][4] = {};
  load<F>(a, b, 0, shared);
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps)
      load<F>(a, b, step + 1, shared + uint32_t(step + 1) % 2 * stage_bytes);
    else
      cp_async_commit();
    if constexpr (F == Fault::last_group_left_running) {
      if (step + 1 < steps) cp_async_wait<1>();
    } else {
      cp_async_wait<F == Fault::one_group_too_many ? 2 : 1>();
    }
    if constexpr (F != Fault::no_barrier_behind_wait) __syncthreads();
    multiply<F>(shared + uint32_t(step) % 2 * stage_bytes, sums);
    if constexpr (F != Fault::no_barrier_before_refill) __syncthreads();
  }
  if constexpr (F != Fault::last_group_left_running) cp_async_wait<0>();
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int y = warp % 2 * 32 + i / 16 * 16 + lane / 4 + i / 2 % 2 * 8;
    const int x = warp / 2 * 32 + i / 4 % 4 * 8 + lane % 4 * 2 + i % 2;
    if (y < test::product_rows && x < test::product_columns)
      c[y * test::product_columns + x] = sums[i / 16][i / 4 % 4][i % 4];
  }
}

// ------------------------------------------------------------------------ staged product

/// c = a * b^T of 64 x 64 each, which threads store into shared memory.
template <Fault F>
__global__ void __launch_bounds__(128) staged_kernel(const bf16* a, const bf16* b, float* c) {
  using Chunk = Pack<bf16, 8>;
  Chunk* tiles = tile_memory<Chunk>();
  const uint32_t first = shared_address(tiles);
  for (uint32_t i = threadIdx.x; i < 512; i += 128) {
    tiles[swizzled<Swizzle::bytes128>(16 * i) / 16] = load_pack<8>(a + 8 * i);
    tiles[512 + swizzled<Swizzle::bytes128>(16 * i) / 16] = load_pack<8>(b + 8 * i);
  }
  if constexpr (F != Fault::no_proxy_fence_before_wgmma) fence_proxy_async();
  if constexpr (F != Fault::no_barrier_before_wgmma) __syncthreads();
  float sums[32] = {};
  wgmma_hold(sums);
  wgmma_fence();
#pragma unroll
  for (uint32_t k = 0; k < 128; k += 32)
    wgmma<bf16>(sums, wgmma_descriptor<Swizzle::bytes128>(first + k, 16, 1024),
                wgmma_descriptor<Swizzle::bytes128>(first + 8192 + k, 16, 1024));
  wgmma_commit();
  wgmma_wait<0>();
  const int t = int(threadIdx.x);
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int y = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8, x = i / 4 * 8 + t % 4 * 2 + i % 2;
    c[y * test::staged_size + x] = sums[i];
  }
}

// ------------------------------------------------------------------------ tile store

/// Twice the numbers, by way of one buffer.
template <Fault F>
__global__ void tile_store_kernel(const __grid_constant__ TensorMap map, const float* in) {
  constexpr int floats = test::store_tile_rows * test::store_row_floats;
  float* buffer = tile_memory<float>();
  for (int i = 0; i < test::store_tiles; ++i) {
    for (int k = int(threadIdx.x); k < floats; k += 64) buffer[k] = 2 * in[i * floats + k];
    if constexpr (F != Fault::no_proxy_fence_before_store) fence_proxy_async();
    if constexpr (F != Fault::no_barrier_before_store) __syncthreads();
    if (threadIdx.x == 0) {
      tma_store(&map, shared_address(buffer), {0, i * test::store_tile_rows});
      bulk_commit();
      if constexpr (F != Fault::buffer_reused_before_read)
        if (F != Fault::store_left_running || i + 1 < test::store_tiles) bulk_wait_read<0>();
    }
    __syncthreads();
  }
  if constexpr (F != Fault::store_left_running)
    if (threadIdx.x == 0) bulk_wait<0>();
}

void product(Stream stream, Fault fault, const void* in, void* out) {
  const auto* a = static_cast<const bf16*>(in);
  with_fault<Fault::one_group_too_many, Fault::no_commit, Fault::no_barrier_behind_wait,
             Fault::no_barrier_before_refill, Fault::last_group_left_running,
             Fault::ldmatrix_without_swizzle, Fault::no_swizzle_at_all, Fault::unguarded_copy>(
      fault, [&]<Fault F>() {
        launch("mutants.product", product_kernel<F>,
               {.grid = 1, .block = product_threads, .shared_bytes = 2 * stage_bytes}, stream, a,
               a + test::product_rows * test::product_depth, static_cast<float*>(out));
      });
}

void staged_product(Stream stream, Fault fault, const void* in, void* out) {
  const auto* a = static_cast<const bf16*>(in);
  with_fault<Fault::no_proxy_fence_before_wgmma, Fault::no_barrier_before_wgmma>(
      fault, [&]<Fault F>() {
        launch("mutants.staged_product", staged_kernel<F>,
               {.grid = 1, .block = 128, .shared_bytes = 2 * 8192 + 1024}, stream, a,
               a + test::staged_size * test::staged_size, static_cast<float*>(out));
      });
}

void tile_store(Stream stream, Fault fault, const void* in, void* out) {
  const int64_t rows = test::store_tiles * test::store_tile_rows;
  const TensorMap map =
      tensor_map(TiledTensor{.data = out,
                             .type = Dtype::f32,
                             .rank = 2,
                             .size = {test::store_row_floats, rows},
                             .stride = {0, test::store_row_floats * 4},
                             .box = {test::store_row_floats, test::store_tile_rows}});
  with_fault<Fault::no_proxy_fence_before_store, Fault::no_barrier_before_store,
             Fault::buffer_reused_before_read, Fault::store_left_running>(fault, [&]<Fault F>() {
    launch("mutants.tile_store", tile_store_kernel<F>,
           {.grid = 1, .block = 64, .shared_bytes = 2048}, stream, map,
           static_cast<const float*>(in));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::mutants

namespace kinema::test {

namespace device = kernels::device::mutants;

const Program KERNELS_DEVICE(product) = device::product;
const Program KERNELS_DEVICE(staged_product) = device::staged_product;
const Program KERNELS_DEVICE(tile_store) = device::tile_store;

}  // namespace kinema::test
