#include "kernels/device/async_copy.h"
#include "kernels/device/cluster.h"
#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/mma.h"
#include "kernels/device/registers.h"
#include "kernels/device/tma.h"
#include "kernels/device/wgmma.h"
#include "tests/async_misuse_device_test.h"

// For the emulation alone: a GPU would hang, or be silent.
#if !KERNELS_CUDA

namespace kinema::kernels::device::inline KERNELS_TWIN::mutants {

/// What every kernel here is given.
struct Given {
  TensorMap tiled, im2col;  ///< of boxes 16 x 4, and of 4 pixels of 16 channels
  bf16* memory;
  uint32_t tile;     ///< on 1024 bytes, 4096 behind it
  uint32_t barrier;  ///< for an mbarrier
};

/// Four warps run `body` after the given places have been found.
template <auto body>
__global__ void misuse_kernel(Given given) {
  KERNELS_SHARED(uint64_t, barrier, 1);
  given.tile = shared_address(tile_memory<char>());
  given.barrier = shared_address(barrier);
  body(given);
}

/// Likewise after one thread has made the mbarrier for one arrival.
KERNELS_INLINE void make_barrier(const Given& g) {
  if (threadIdx.x == 0) {
    mbarrier_init(g.barrier, 1);
    fence_mbarrier_init();
  }
  __syncthreads();
}

void copy_to_odd_address(const Given& g) { cp_async<16>(g.tile + 8, g.memory); }
void copy_from_odd_address(const Given& g) { cp_async<16>(g.tile, g.memory + 4); }
void copy_beyond(const Given& g) { cp_async<16>(g.tile + 8192, g.memory); }
void copy_left_alone(const Given& g) { cp_async<16>(g.tile + threadIdx.x * 16, g.memory); }

void no_barrier_made(const Given& g) { mbarrier_arrive(g.barrier); }
void barrier_of_none(const Given& g) { mbarrier_init(g.barrier, 0); }
void barrier_at_odd_address(const Given& g) { mbarrier_init(g.barrier + 4, 1); }
void barrier_made_twice(const Given& g) {
  make_barrier(g);
  if (threadIdx.x == 0) mbarrier_init(g.barrier, 1);
}
void barrier_overwritten(const Given& g) {
  mbarrier_init(g.tile + threadIdx.x * 8, 1);
  *tile_memory<int>() = 0;
  mbarrier_arrive(g.tile + threadIdx.x * 8);
}
void arrivals_beyond_count(const Given& g) {
  make_barrier(g);
  if (threadIdx.x == 0) mbarrier_arrive_expect_tx(g.barrier, 16);
  __syncthreads();
  if (threadIdx.x == 1) mbarrier_arrive(g.barrier);
}
void bytes_beyond_limit(const Given& g) {
  make_barrier(g);
  if (threadIdx.x == 0) mbarrier_expect_tx(g.barrier, 1 << 19);
  if (threadIdx.x == 0) mbarrier_expect_tx(g.barrier, 1 << 19);
}
void nobody_arrives(const Given& g) {
  make_barrier(g);
  mbarrier_wait(g.barrier, 0);
}
void looped_for_ever(const Given& g) {
  make_barrier(g);
  while (!mbarrier_try_wait(g.barrier, 0)) {
  }
}
void ended_while_bytes_come(const Given& g) {
  make_barrier(g);
  if (threadIdx.x == 0) mbarrier_expect_tx(g.barrier, 16);
  if (threadIdx.x == 0) mbarrier_invalidate(g.barrier);
}

void unannounced_barrier(const Given& g) {
  if (threadIdx.x) return;
  mbarrier_init(g.barrier, 1);
  tma_load(g.tile, &g.tiled, g.barrier, {0, 0});
}
void load_to_odd_address(const Given& g) {
  make_barrier(g);
  tma_load(g.tile + 64, &g.tiled, g.barrier, {0, 0});
}
void load_by_wrong_rank(const Given& g) {
  make_barrier(g);
  tma_load(g.tile, &g.tiled, g.barrier, {0, 0, 0});
}
void load_by_wrong_map(const Given& g) {
  make_barrier(g);
  tma_load(g.tile, &g.im2col, g.barrier, {0, 0, 0});
}
void load_by_no_map(const Given& g) {
  alignas(64) TensorMap none{};
  make_barrier(g);
  tma_load(g.tile, &none, g.barrier, {0, 0});
}
void load_with_large_offset(const Given& g) {
  make_barrier(g);
  tma_load_im2col(g.tile, &g.im2col, g.barrier, {0, 0, 0}, {1 << 16});
}
void load_from_outside_box(const Given& g) {
  make_barrier(g);
  tma_load_im2col(g.tile, &g.im2col, g.barrier, {0, -1, 0}, {0});
}
void load_left_alone(const Given& g) {
  make_barrier(g);
  if (threadIdx.x == 0) tma_load(g.tile, &g.tiled, g.barrier, {0, 0});
}
void load_of_odd_bytes(const Given& g) {
  make_barrier(g);
  bulk_load(g.tile, g.memory, 24, g.barrier);
}
void load_to_missing_block(const Given& g) {
  make_barrier(g);
  tma_load_multicast(g.tile, &g.tiled, g.barrier, {0, 0}, 3);
}
void store_left_alone(const Given& g) {
  if (threadIdx.x == 0) {
    tma_store(&g.tiled, g.tile, {0, 0});
    bulk_commit();
  }
}
void store_not_committed(const Given& g) {
  if (threadIdx.x == 0) {
    tma_store(&g.tiled, g.tile, {0, 0});
    bulk_wait_read<0>();
  }
}

/// One wgmma of 8 columns of tiles that nobody has filled.
KERNELS_INLINE void multiply(const Given& g, float (&d)[4], uint32_t from = 0) {
  const uint64_t a = wgmma_descriptor<Swizzle::none>(g.tile + from, 128, 256);
  wgmma<bf16>(d, a, a);
}
void no_wgmma_fence(const Given& g) {
  float d[4] = {};
  multiply(g, d);
}
void no_wgmma_fence_again(const Given& g) {
  float d[4] = {};
  wgmma_fence();
  multiply(g, d);
  wgmma_commit();
  wgmma_wait<0>();
  multiply(g, d);
}
void descriptors_differ(const Given& g) {
  float d[4] = {};
  wgmma_fence();
  multiply(g, d, threadIdx.x == 77 ? 16 : 0);
  wgmma_commit();
  wgmma_wait<0>();
}
void instructions_differ(const Given& g) {
  float d[4] = {}, e[8] = {};
  wgmma_fence();
  const uint64_t a = wgmma_descriptor<Swizzle::none>(g.tile, 128, 256);
  if (threadIdx.x < 64)
    wgmma<bf16>(d, a, a);
  else
    wgmma<bf16>(e, a, a);
  wgmma_commit();
  wgmma_wait<0>();
}
void operand_beyond(const Given& g) {
  float d[4] = {};
  wgmma_fence();
  multiply(g, d, 8192);
}
void wgmma_left_alone(const Given& g) {
  float d[4] = {};
  wgmma_fence();
  multiply(g, d);
  wgmma_commit();
}
void sums_touched_in_flight(const Given& g) {
  float d[4] = {};
  wgmma_fence();
  multiply(g, d);
  wgmma_commit();
  d[2] = 0;
  wgmma_wait<0>();
}
void waits_differ(const Given& g) {
  float d[4] = {};
  wgmma_fence();
  multiply(g, d);
  wgmma_commit();
  if (threadIdx.x < 64)
    wgmma_wait<0>();
  else
    wgmma_wait<1>();
}
void one_wgmma_too_few(const Given& g) {
  float d[4] = {};
  wgmma_fence();
  if (threadIdx.x != 5) multiply(g, d);
  wgmma_commit();
  wgmma_wait<0>();
}

void row_at_odd_address(const Given& g) {
  uint32_t r[4];
  ldmatrix(r, g.tile + threadIdx.x % 32 * 8);
}
void part_of_a_warp(const Given& g) {
  uint32_t r[1];
  if (threadIdx.x % 32 < 24)
    ldmatrix(r, g.tile);
  else
    __syncwarp();
}
void more_registers_than_had(const Given&) {
  register_dealloc<64>();
  register_dealloc<128>();
}
void fewer_registers_than_had(const Given&) { register_alloc<24>(); }
void arrived_twice(const Given&) {
  cluster_arrive();
  cluster_arrive();
}
void waited_without_arriving(const Given&) { cluster_wait(); }
void arrived_and_left(const Given&) { cluster_arrive(); }
void no_such_rank(const Given& g) { cluster_address(g.tile, 1); }

template <auto body>
void run(Stream stream, void* memory) {
  Given given{};
  given.memory = static_cast<bf16*>(memory);
  given.tiled = tensor_map(
      TiledTensor{.data = memory, .rank = 2, .size = {16, 64}, .stride = {0, 32}, .box = {16, 4}});
  given.im2col = tensor_map(Im2colTensor{.data = memory,
                                         .rank = 3,
                                         .size = {16, 32, 2},
                                         .stride = {0, 32, 1024},
                                         .channels = 16,
                                         .pixels = 4});
  launch("misuse", misuse_kernel<body>, {.grid = 1, .block = 128, .shared_bytes = 5120}, stream,
         given);
}

using test::Misuse;
#define MISUSE(body, report) \
  Misuse { #body, report, run < body> }

const Misuse misuses[] = {
    MISUSE(copy_to_odd_address, "cp_async: expected shared memory on a multiple of 16 bytes, got "),
    MISUSE(copy_from_odd_address,
           "cp_async: expected global memory on a multiple of 16 bytes, got "),
    MISUSE(copy_beyond, "shared memory: 16 bytes at address "),
    MISUSE(copy_left_alone, "a thread returns with 1 cp_async in flight"),
    MISUSE(no_barrier_made, "mbarrier_arrive: there is no mbarrier at "),
    MISUSE(barrier_of_none, "mbarrier_init: expected a count from 1 to 2^20-1, got 0"),
    MISUSE(barrier_at_odd_address, "mbarrier_init: expected an address on a multiple of 8 bytes"),
    MISUSE(barrier_made_twice, "which mbarrier_invalidate must end first"),
    MISUSE(barrier_overwritten, "something has written over the mbarrier at "),
    MISUSE(arrivals_beyond_count, "in one phase than the 1 that it was made for"),
    MISUSE(bytes_beyond_limit, "1048576 bytes are more than the 2^20-1 that one at "),
    MISUSE(nobody_arrives, "which lacks 1 of 1 arrivals and 0 bytes, at "),
    MISUSE(looped_for_ever, "32 of warp 3 wait in a loop of mbarrier_try_wait at "),
    MISUSE(ended_while_bytes_come, "0 threads and 16 bytes are still on their way"),
    MISUSE(unannounced_barrier, "has been made without fence_mbarrier_init() behind it"),
    MISUSE(load_to_odd_address, "tma_load: expected shared memory on a multiple of 128 bytes"),
    MISUSE(load_by_wrong_rank, "tma_load: expected 2 coordinates, as the tensor map has, got 3"),
    MISUSE(load_by_wrong_map, "tma_load: expected a tiled map"),
    MISUSE(load_by_no_map, "tma_load: expected a tensor map, got other memory"),
    MISUSE(load_with_large_offset,
           "tma_load: expected offsets from 0 to 65535, got 65536 along axis 1"),
    MISUSE(load_from_outside_box,
           "expected a first pixel within the bounding box, 0 to 31, got -1 along axis 1"),
    MISUSE(load_left_alone, "the block ends while a copy that begins here is in flight"),
    MISUSE(load_of_odd_bytes, "bulk_load: expected a multiple of 16 bytes, got 24"),
    MISUSE(load_to_missing_block, "tma_load_multicast: the cluster has no block 1"),
    MISUSE(store_left_alone, "while a bulk store may still read shared memory"),
    MISUSE(store_not_committed, "while a bulk store may still read shared memory"),
    MISUSE(no_wgmma_fence, "wgmma: expected wgmma_fence() since accumulators were last touched"),
    MISUSE(no_wgmma_fence_again,
           "wgmma: expected wgmma_fence() since accumulators were last touched"),
    MISUSE(descriptors_differ, "wgmma: descriptors differ within the warpgroup"),
    MISUSE(instructions_differ, "wgmma: the threads of the warpgroup issue different instructions"),
    MISUSE(operand_beyond, "shared memory: 16 bytes at address "),
    MISUSE(wgmma_left_alone, "a thread returns with 1 wgmmas in flight"),
    MISUSE(sums_touched_in_flight, "accumulator 2 of a thread was written while wgmma"),
    MISUSE(waits_differ, "groups as the others of the warpgroup, got "),
    MISUSE(one_wgmma_too_few, "wgmma_wait: threads of the warpgroup have 1 and 0 wgmmas in flight"),
    MISUSE(row_at_odd_address, "ldmatrix: expected rows on multiples of 16 bytes, got "),
    MISUSE(part_of_a_warp, ", while other lanes of the warp wait in "),
    MISUSE(more_registers_than_had,
           "register_dealloc: expected at most the 64 that threads have, got 128"),
    MISUSE(fewer_registers_than_had,
           "register_alloc: expected at least the 256 that threads have, got 24"),
    MISUSE(arrived_twice, "cluster_arrive: this thread has arrived already"),
    MISUSE(waited_without_arriving, "cluster_wait: this thread has not arrived"),
    MISUSE(arrived_and_left, "a thread returns that has arrived at the cluster's barrier"),
    MISUSE(no_such_rank, "cluster_address: the cluster has 1 blocks, got rank 1"),
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::mutants

namespace kinema::test {

const Misuses async_misuses_emulated = {kernels::device::mutants::misuses,
                                        int(std::size(kernels::device::mutants::misuses))};

}  // namespace kinema::test

#endif
