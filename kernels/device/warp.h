#pragma once
#include <cstring>
#include "kernels/device/twin.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

inline constexpr uint32_t all_lanes = 0xffffffffu;

#if !KERNELS_CUDA

/// CUDA's own functions of warps and blocks, under their names.
KERNELS_INLINE void __syncthreads() { emulation::barrier(0, -1, true); }
KERNELS_INLINE void __syncwarp(uint32_t mask = all_lanes) { emulation::sync_warp(mask); }
KERNELS_INLINE void __threadfence() { emulation::thread_fence(); }

/// What one lane brings to a shuffle: its value, and the lane that it reads, -1 for none.
template <class T>
struct Shuffled {
  T value;
  int source;
};

template <class T>
KERNELS_INLINE T shuffled(uint32_t mask, const char* name, T value, int source) {
  Shuffled<T> mine{value, source};
  emulation::warp_collective(mask, name, &mine, [](void* const* lanes, uint32_t live) {
    T values[32];
    for (int l = 0; l < 32; ++l)
      if (live >> l & 1) values[l] = static_cast<Shuffled<T>*>(lanes[l])->value;
    for (int l = 0; l < 32; ++l) {
      if (!(live >> l & 1)) continue;
      auto* lane = static_cast<Shuffled<T>*>(lanes[l]);
      if (live >> lane->source & 1)
        lane->value = values[lane->source];
      else  // a lane that takes no part: undefined, so all bits set, which is a NaN
        std::memset(static_cast<void*>(&lane->value), 0xff, sizeof(T));
    }
  });
  return mine.value;
}

template <class T>
KERNELS_INLINE T __shfl_sync(uint32_t mask, T value, int source, int width = 32) {
  const int lane = int(emulation::here->lane);
  return shuffled(mask, "__shfl_sync", value, (lane & ~(width - 1)) | (source & (width - 1)));
}
template <class T>
KERNELS_INLINE T __shfl_xor_sync(uint32_t mask, T value, int other, int width = 32) {
  const int lane = int(emulation::here->lane), from = lane ^ other;
  return shuffled(mask, "__shfl_xor_sync", value,
                  (from | (width - 1)) <= (lane | (width - 1)) ? from : lane);
}
template <class T>
KERNELS_INLINE T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  const int lane = int(emulation::here->lane), from = lane + int(delta);
  return shuffled(mask, "__shfl_down_sync", value, from <= (lane | (width - 1)) ? from : lane);
}
template <class T>
KERNELS_INLINE T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  const int lane = int(emulation::here->lane), from = lane - int(delta);
  return shuffled(mask, "__shfl_up_sync", value, from >= (lane & ~(width - 1)) ? from : lane);
}

KERNELS_INLINE uint32_t __ballot_sync(uint32_t mask, bool vote) {
  uint32_t mine = vote;
  emulation::warp_collective(mask, "__ballot_sync", &mine, [](void* const* lanes, uint32_t live) {
    uint32_t all = 0;
    for (int l = 0; l < 32; ++l)
      if (live >> l & 1) all |= *static_cast<uint32_t*>(lanes[l]) << l;
    for (int l = 0; l < 32; ++l)
      if (live >> l & 1) *static_cast<uint32_t*>(lanes[l]) = all;
  });
  return mine;
}
KERNELS_INLINE bool __any_sync(uint32_t mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
KERNELS_INLINE bool __all_sync(uint32_t mask, bool vote) { return __ballot_sync(mask, !vote) == 0; }

#endif

/// bar.sync: waits until `threads` threads (a multiple of 32) have come to barrier `id`, 1 to 15;
/// bar.arrive: counts among them without waiting. PTX ISA, 9.7.13.1.
KERNELS_INLINE void barrier_sync(int id, int threads) {
#if KERNELS_CUDA
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  emulation::barrier(id, threads, true);
#endif
}
KERNELS_INLINE void barrier_arrive(int id, int threads) {
#if KERNELS_CUDA
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  emulation::barrier(id, threads, false);
#endif
}

/// The block's dynamic shared memory, as much as the launch asked for; 16-byte aligned.
template <class T>
KERNELS_INLINE T* dynamic_shared() {
#if KERNELS_CUDA
  extern __shared__ __align__(16) char kernels_dynamic_shared[];
  return reinterpret_cast<T*>(kernels_dynamic_shared);
#else
  return static_cast<T*>(emulation::dynamic_shared());
#endif
}

/// The 32-bit address that instructions on shared memory take.
KERNELS_INLINE uint32_t shared_address(const void* p) {
#if KERNELS_CUDA
  return uint32_t(__cvta_generic_to_shared(p));
#else
  return emulation::shared_address(p);
#endif
}

/// The combination of all 32 lanes' values, in every lane: a butterfly, so the order is fixed.
template <class T, class F>
KERNELS_INLINE T warp_reduce(T value, F combine) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2)
    value = combine(value, __shfl_xor_sync(all_lanes, value, other));
  return value;
}
template <class T>
KERNELS_INLINE T warp_sum(T value) {
  return warp_reduce(value, [](T a, T b) { return a + b; });
}

/// The combination of the values of all threads of a one-dimensional block of Threads, in every
/// thread, in a fixed order. Synchronises the block twice; shared memory of one T a warp.
template <int Threads, class T, class F>
KERNELS_INLINE T block_reduce(T value, F combine) {
  static_assert(Threads % 32 == 0 && Threads <= 1024);
  KERNELS_SHARED(T, parts, Threads / 32);
  value = warp_reduce(value, combine);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  T all = parts[0];
#pragma unroll
  for (int w = 1; w < Threads / 32; ++w) all = combine(all, parts[w]);
  __syncthreads();
  return all;
}
template <int Threads, class T>
KERNELS_INLINE T block_sum(T value) {
  return block_reduce<Threads>(value, [](T a, T b) { return a + b; });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
