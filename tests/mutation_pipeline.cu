#include "kernels/device/cluster.h"
#include "kernels/device/device.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/tma.h"
#include "kernels/device/wgmma.h"
#include "tests/support/mutants.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::mutants {

// ------------------------------------------------------------------------ pipeline

constexpr int stages = 3, step_depth = 64, pipeline_threads = 384;
constexpr int steps = test::pipeline_depth / step_depth;
constexpr uint32_t a_tile_bytes = test::pipeline_rows * 128;
constexpr uint32_t b_tile_bytes = test::pipeline_columns * 128;
constexpr uint32_t ring_stage_bytes = a_tile_bytes + b_tile_bytes;

/// Stages of tiles and their mbarriers, as addresses of shared memory.
struct Ring {
  uint32_t tiles, full, empty;

  KERNELS_INLINE uint32_t a(int step) const {
    return tiles + uint32_t(step % stages) * ring_stage_bytes;
  }
  KERNELS_INLINE uint32_t b(int step) const { return a(step) + a_tile_bytes; }
  KERNELS_INLINE uint32_t full_at(int step) const { return full + uint32_t(step % stages) * 8; }
  KERNELS_INLINE uint32_t empty_at(int step) const { return empty + uint32_t(step % stages) * 8; }
};

/// The whole parity of the step's phase; faulty rings stay in the first.
template <Fault F>
KERNELS_INLINE uint32_t parity(int step) {
  return F == Fault::parity_never_flips ? 0 : uint32_t(step / stages) & 1;
}

template <Fault F>
KERNELS_INLINE void produce(const Ring& ring, const TensorMap& a, const TensorMap& b) {
  constexpr uint32_t bytes = ring_stage_bytes + (F == Fault::wrong_byte_count ? 16 : 0);
  for (int step = 0; step < steps; ++step) {
    if constexpr (F != Fault::producer_skips_empty)
      mbarrier_wait(ring.empty_at(step), parity<Fault::none>(step) ^ 1);
    mbarrier_arrive_expect_tx(ring.full_at(step), bytes);
    tma_load(ring.a(step), &a, ring.full_at(step), {step * step_depth, 0});
    tma_load(ring.b(step), &b, ring.full_at(step), {step * step_depth, 0});
  }
}

/// 64 rows of c, one warpgroup.
template <Fault F>
KERNELS_INLINE void consume(const Ring& ring, float* c) {
  const int group = int(threadIdx.x) / 128 - 1, t = int(threadIdx.x) % 128;
  float sums[test::pipeline_columns / 2] = {}, read_early = 0;
  for (int step = 0; step < steps; ++step) {
    if constexpr (F != Fault::consumer_skips_full)
      mbarrier_wait(ring.full_at(step), parity<F>(step));
    if constexpr (F == Fault::stage_freed_early)
      if (t == 0) mbarrier_arrive(ring.empty_at(step));
    wgmma_hold(sums);
    if constexpr (F != Fault::no_wgmma_fence) wgmma_fence();
#pragma unroll
    for (uint32_t k = 0; k < 128; k += 32)
      wgmma<bf16>(
          sums,
          wgmma_descriptor<Swizzle::bytes128>(ring.a(step) + uint32_t(group) * 8192 + k, 16, 1024),
          wgmma_descriptor<Swizzle::bytes128>(ring.b(step) + k, 16, 1024));
    wgmma_commit();
    if constexpr (F == Fault::sums_read_before_wait) read_early = sums[0];
    wgmma_wait<0>();
    if constexpr (F != Fault::stage_freed_early && F != Fault::stages_never_freed)
      if (t == 0) mbarrier_arrive(ring.empty_at(step));
  }
#pragma unroll
  for (int i = 0; i < test::pipeline_columns / 2; ++i) {
    const int y = group * 64 + t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
    c[y * test::pipeline_columns + i / 4 * 8 + t % 4 * 2 + i % 2] =
        F == Fault::sums_read_before_wait && i == 0 ? read_early : sums[i];
  }
}

/// c = a * b^T by one block: a warp of a producer, two warpgroups of consumers.
template <Fault F>
__global__ void __launch_bounds__(pipeline_threads, 1)
    pipeline_kernel(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                    float* c) {
  KERNELS_SHARED(uint64_t, barriers, 2 * stages);
  const uint32_t first = shared_address(barriers);
  const Ring ring{shared_address(tile_memory<char>()), first, first + 8 * stages};
  if (threadIdx.x == 0) {
    for (int i = 0; i < stages; ++i) {
      mbarrier_init(ring.full_at(i), 1);
      mbarrier_init(ring.empty_at(i), 2);
    }
    if constexpr (F != Fault::no_fence_behind_init) fence_mbarrier_init();
  }
  if constexpr (F != Fault::no_barrier_behind_init) __syncthreads();
  if (threadIdx.x >= 128)
    consume<F>(ring, c);
  else if (threadIdx.x == 0)
    produce<F>(ring, a, b);
}

TensorMap tiles_of(const bf16* data, int rows, Swizzle swizzle) {
  return tensor_map(TiledTensor{.data = data,
                                .rank = 2,
                                .size = {test::pipeline_depth, rows},
                                .stride = {0, test::pipeline_depth * 2},
                                .box = {step_depth, rows},
                                .swizzle = swizzle});
}

void pipeline(Stream stream, Fault fault, const void* in, void* out) {
  const auto* a = static_cast<const bf16*>(in);
  const bf16* b = a + test::pipeline_rows * test::pipeline_depth;
  const bool plain = fault == Fault::map_without_swizzle;
  const TensorMap a_map =
      tiles_of(a, test::pipeline_rows, plain ? Swizzle::none : Swizzle::bytes128);
  const TensorMap b_map = tiles_of(b, test::pipeline_columns, Swizzle::bytes128);
  with_fault<Fault::no_fence_behind_init, Fault::no_barrier_behind_init, Fault::wrong_byte_count,
             Fault::map_without_swizzle, Fault::producer_skips_empty, Fault::consumer_skips_full,
             Fault::parity_never_flips, Fault::stage_freed_early, Fault::stages_never_freed,
             Fault::no_wgmma_fence, Fault::sums_read_before_wait>(fault, [&]<Fault F>() {
    launch("mutants.pipeline", pipeline_kernel<F>,
           {.grid = 1, .block = pipeline_threads, .shared_bytes = stages * ring_stage_bytes + 1024},
           stream, a_map, b_map, static_cast<float*>(out));
  });
}

// ------------------------------------------------------------------------ clusters

constexpr uint32_t half_bytes = test::cluster_pair_floats * 2;

/// Each of two blocks loads one half of the numbers for both.
template <Fault F>
__global__ void multicast_kernel(const __grid_constant__ TensorMap map, float* out) {
  KERNELS_SHARED(uint64_t, mbarrier, 1);
  const uint32_t full = shared_address(mbarrier), rank = cluster_rank();
  const float* numbers = tile_memory<float>();
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    fence_mbarrier_init();
  }
  if constexpr (F == Fault::no_cluster_sync_at_start)
    __syncthreads();
  else
    cluster_sync();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect_tx(full, 2 * half_bytes);
    const bool misses = F == Fault::multicast_misses_a_block && rank == 1;
    tma_load_multicast(shared_address(numbers) + rank * half_bytes, &map, full, {0, int(rank) * 8},
                       misses ? 1 : 3);
  }
  mbarrier_wait(full, 0);
  for (uint32_t i = threadIdx.x; i < test::cluster_pair_floats; i += 64)
    out[rank * test::cluster_pair_floats + i] = numbers[i];
}

/// Blocks read each other's numbers, from the last on.
template <Fault F>
__global__ void neighbours_kernel(const float* in, float* out) {
  float* numbers = dynamic_shared<float>();
  const uint32_t t = threadIdx.x, rank = cluster_rank();
  numbers[t] = in[64 * rank + t];
  if constexpr (F == Fault::no_cluster_sync_before_read)
    __syncthreads();
  else
    cluster_sync();
  out[64 * rank + t] =
      load_cluster<float>(cluster_address(shared_address(numbers + 63 - t), rank ^ 1));
  if constexpr (F != Fault::no_cluster_sync_at_end) cluster_sync();
}

void multicast(Stream stream, Fault fault, const void* in, void* out) {
  const TensorMap map = tensor_map(TiledTensor{.data = in,
                                               .type = Dtype::f32,
                                               .rank = 2,
                                               .size = {32, 16},
                                               .stride = {0, 128},
                                               .box = {32, 8}});
  with_fault<Fault::no_cluster_sync_at_start, Fault::multicast_misses_a_block>(
      fault, [&]<Fault F>() {
        launch(
            "mutants.multicast", multicast_kernel<F>,
            {.grid = 2, .block = 64, .shared_bytes = 2 * half_bytes + 1024, .cluster = {2, 1, 1}},
            stream, map, static_cast<float*>(out));
      });
}

void neighbours(Stream stream, Fault fault, const void* in, void* out) {
  with_fault<Fault::no_cluster_sync_before_read, Fault::no_cluster_sync_at_end>(
      fault, [&]<Fault F>() {
        launch("mutants.neighbours", neighbours_kernel<F>,
               {.grid = 2, .block = 64, .shared_bytes = 64 * 4, .cluster = {2, 1, 1}}, stream,
               static_cast<const float*>(in), static_cast<float*>(out));
      });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::mutants

namespace kinema::test {

namespace device = kernels::device::mutants;

const Program KERNELS_DEVICE(pipeline) = device::pipeline;
const Program KERNELS_DEVICE(multicast) = device::multicast;
const Program KERNELS_DEVICE(neighbours) = device::neighbours;

}  // namespace kinema::test
