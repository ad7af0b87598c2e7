#pragma once
#include "kernels/device/warp.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// CUDA's atomics of integers, under their names; those of floats are left out, since the order of
/// their sums is no order at all.
#if !KERNELS_CUDA
template <class T>
KERNELS_INLINE T atomicAdd(T* p, T v) {
  return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
template <class T>
KERNELS_INLINE T atomicExch(T* p, T v) {
  return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);
}
template <class T>
KERNELS_INLINE T atomicCAS(T* p, T expected, T v) {
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
template <class T>
KERNELS_INLINE T atomicMax(T* p, T v) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < v &&
         !__atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
#endif

/// The word at p, which another block will change: a look in a loop that waits for it. What that
/// block did before its __threadfence() and its atomic is visible to what follows the loop.
KERNELS_INLINE unsigned awaited(const unsigned* p) {
#if KERNELS_CUDA
  unsigned value;
  asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
#else
  emulation::spin();
  return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#endif
}

/// True in every thread of the block that comes last of `blocks` to `counter`, which starts at 0
/// and is 0 again afterwards. What the others stored before is then visible: how a grid's last
/// block finishes a sum, in an order that does not depend on which block it is. One
/// synchronisation of the block on each side; a word of shared memory.
KERNELS_INLINE bool is_last_block(unsigned* counter, unsigned blocks) {
  KERNELS_SHARED(unsigned, arrived, 1);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    arrived[0] = atomicAdd(counter, 1u);
    if (arrived[0] == blocks - 1) *counter = 0;
  }
  __syncthreads();
  __threadfence();
  return arrived[0] == blocks - 1;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
