#include "kernels/device/async_copy.h"
#include "kernels/device/device.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/registers.h"
#include "kernels/device/tma.h"
#include "tests/conformance_async_device_test.h"
#include "tests/support/probe.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_async {

using test::copy_threads, test::copy_groups, test::ring_stages, test::ring_steps, test::bulk_words;
using Chunk = Pack<uint32_t, 4>;

/// A copy that is not filled may name any address: none.
template <int Bytes>
__global__ void copy_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(Chunk, chunks, copy_threads);
  const unsigned t = threadIdx.x;
  const bool filled = t % 3 != 1;
  for (int at = 0; at < 16; at += Bytes)
    cp_async<Bytes>(shared_address(chunks + t) + uint32_t(at),
                    filled ? in + 4 * t + at / 4 : nullptr, filled);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  store_pack<4>(out + 4 * t, chunks[t]);
}

/// Thread t reads t % 17 bytes of its 16.
__global__ void part_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(Chunk, chunks, copy_threads);
  const unsigned t = threadIdx.x;
  cp_async<16>(shared_address(chunks + t), in + 4 * t, int(t % 17));
  cp_async_commit();
  cp_async_wait<0>();
  store_pack<4>(out + 4 * t, chunks[t]);
}

__global__ void groups_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(uint32_t, words, copy_groups * copy_threads);
  const int t = int(threadIdx.x);
  for (int g = 0; g < copy_groups; ++g) {
    const int i = g * copy_threads + t;
    cp_async<4>(shared_address(words + i), in + i);
    cp_async_commit();
  }
  // What this thread has copied it sees after the wait alone.
  cp_async_wait<3>();
  out[t] = words[t];
  cp_async_wait<1>();
  out[copy_threads + t] = words[copy_threads + t];
  out[2 * copy_threads + t] = words[2 * copy_threads + t];
  cp_async_wait<0>();
  out[3 * copy_threads + t] = words[3 * copy_threads + t];
}

__global__ void copy_arrive_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(Chunk, chunks, copy_threads);
  KERNELS_SHARED(uint64_t, mbarrier, 1);
  const unsigned t = threadIdx.x;
  const uint32_t arrived = shared_address(mbarrier);
  if (t == 0) mbarrier_init(arrived, copy_threads);
  __syncthreads();
  cp_async<16>(shared_address(chunks + t), in + 4 * t);
  cp_async_arrive(arrived);
  constexpr unsigned half = copy_threads / 2;
  if (t >= half) return;  // their copies go on without them
  mbarrier_wait(arrived, 0);
  for (unsigned i = t; i < copy_threads; i += half)
    store_pack<4>(out + 4 * i, chunks[copy_threads - 1 - i]);
}

/// One thread alone at an mbarrier of two arrivals.
__global__ void phases_kernel(const int*, uint32_t* out) {
  KERNELS_SHARED(uint64_t, mbarrier, 1);
  const uint32_t m = shared_address(mbarrier);
  mbarrier_init(m, 2);
  int next = 0;
  for (int arrivals = 0; arrivals <= 8; ++arrivals) {
    if (arrivals > 0) mbarrier_arrive(m);
    out[next++] = mbarrier_try_wait(m, 0);
    out[next++] = mbarrier_try_wait(m, 1);
  }
}

/// Warp 0 fills stages, warp 1 empties them; each tells the other by an mbarrier a stage.
__global__ void ring_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(uint32_t, stages, ring_stages * 32);
  KERNELS_SHARED(uint64_t, mbarriers, 2 * ring_stages);
  const uint32_t full = shared_address(mbarriers), empty = full + 8 * ring_stages;
  const int lane = int(threadIdx.x) % 32;
  if (threadIdx.x == 0)
    for (uint32_t s = 0; s < 2 * ring_stages; ++s) mbarrier_init(full + 8 * s, 32);
  __syncthreads();
  for (int step = 0; step < ring_steps; ++step) {
    const uint32_t stage = uint32_t(step % ring_stages), round = uint32_t(step / ring_stages);
    uint32_t* place = stages + 32 * stage;
    if (threadIdx.x < 32) {
      mbarrier_wait(empty + 8 * stage, (round & 1) ^ 1);  // over at once in the first round
      place[lane] = in[32 * step + lane];
      mbarrier_arrive(full + 8 * stage);
    } else {
      mbarrier_wait(full + 8 * stage, round & 1);
      out[32 * step + 31 - lane] = place[31 - lane];
      mbarrier_arrive(empty + 8 * stage);
    }
  }
}

__global__ void renewed_kernel(const int*, uint32_t* out) {
  KERNELS_SHARED(uint64_t, memory, 1);
  const uint32_t m = shared_address(memory);
  if (threadIdx.x == 0) {
    mbarrier_init(m, 32);
  }
  __syncthreads();
  mbarrier_arrive(m);
  mbarrier_wait(m, 0);
  __syncthreads();
  if (threadIdx.x == 0) {
    mbarrier_invalidate(m);
    memory[0] = 77;
    out[0] = uint32_t(memory[0]);
    mbarrier_init(m, 32);
  }
  __syncthreads();
  mbarrier_arrive(m);
  mbarrier_wait(m, 0);
  if (threadIdx.x == 31) out[1] = 78;
}

/// Three ways to expect bytes: with the arrival; before it; and after the copy has begun.
__global__ void transactions_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(Chunk, chunks, bulk_words / 4);
  KERNELS_SHARED(uint64_t, mbarrier, 1);
  const uint32_t m = shared_address(mbarrier), to = shared_address(chunks);
  constexpr uint32_t bytes = bulk_words * 4;
  const unsigned t = threadIdx.x;
  if (t == 0) {
    mbarrier_init(m, 1);
    fence_mbarrier_init();
  }
  __syncthreads();
  for (int way = 0; way < 3; ++way) {
    if (t == 0 && way == 0) {
      mbarrier_arrive_expect_tx(m, bytes);
      bulk_load(to, in, bytes, m);
    } else if (t == 0 && way == 1) {
      mbarrier_expect_tx(m, bytes / 2);
      bulk_load(to, in, bytes / 2, m);
      bulk_load(to + bytes / 2, in + bulk_words / 2, bytes / 2, m);
      mbarrier_arrive_expect_tx(m, bytes / 2);
    } else if (t == 0) {
      bulk_load(to, in, bytes, m);
      mbarrier_arrive_expect_tx(m, bytes);
    }
    mbarrier_wait(m, uint32_t(way) & 1);
    for (int i = int(t); i < bulk_words; i += 64)
      out[way * bulk_words + i] = chunks[i / 4].lane[i % 4] + uint32_t(way);
    if (t == 63) out[3 * bulk_words + way] = mbarrier_try_wait(m, uint32_t(way + 1) & 1);
    fence_proxy_async();  // the reads above come before the next copy
    __syncthreads();
  }
}

/// The buffer is used twice: the second time as soon as the first store has read it.
__global__ void bulk_out_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(Chunk, chunks, bulk_words / 4);
  const unsigned t = threadIdx.x;
  for (uint32_t round = 0; round < 2; ++round) {
    for (unsigned i = t; i < bulk_words; i += 32) chunks[i / 4].lane[i % 4] = in[i] + 1 + round;
    fence_proxy_async();
    __syncthreads();
    if (t == 0) {
      bulk_store(out + round * bulk_words, shared_address(chunks), bulk_words * 4);
      bulk_commit();
      bulk_wait_read<0>();
    }
    __syncthreads();
  }
  if (t == 0) bulk_wait<0>();
}

__global__ void elected_kernel(const int*, uint32_t* out) {
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (unsigned call = 0; call < 2; ++call) out[64 * warp + 32 * call + lane] = elect_one();
}

/// The first warpgroup gives registers to the two others.
__global__ void __launch_bounds__(384, 1) registers_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(uint32_t, words, 384);
  const unsigned t = threadIdx.x, first = t / 128 * 128;
  if (t < 128)
    register_dealloc<40>();
  else
    register_alloc<232>();
  words[t] = in[t];
  barrier_sync(int(1 + t / 128), 128);
  uint32_t sum = words[t];
  for (unsigned i = 0; i < 128; ++i) sum += words[first + i];
  out[t] = sum;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_async

namespace kinema::test {

using namespace kernels::device::conformance_async;
using kernels::device::probes::probe;

const AsyncConformance KERNELS_DEVICE(async_conformance) = {
    .copy = {probe<copy_kernel<4>, copy_threads>, probe<copy_kernel<8>, copy_threads>,
             probe<copy_kernel<16>, copy_threads>},
    .part = probe<part_kernel, copy_threads>,
    .groups = probe<groups_kernel, copy_threads>,
    .copy_arrive = probe<copy_arrive_kernel, copy_threads>,
    .phases = probe<phases_kernel, 1>,
    .ring = probe<ring_kernel, 64>,
    .renewed = probe<renewed_kernel, 32>,
    .transactions = probe<transactions_kernel, 64>,
    .bulk_out = probe<bulk_out_kernel, 32>,
    .elected = probe<elected_kernel, 128>,
    .registers = probe<registers_kernel, 384>};

}  // namespace kinema::test
