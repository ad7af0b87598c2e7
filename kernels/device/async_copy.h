#pragma once
#include "kernels/device/twin.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/async_calls.h"
#endif

// Copies of a thread that run beside it, from global to shared memory: cp.async of sm_80.

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// PTX ISA, "cp.async": begins to copy Bytes, 4, 8 or 16, from `global` to the address `shared`,
/// both multiples of Bytes. Of the source it reads the first `read` bytes, the rest it takes for
/// zeros; where it reads none, `global` may be anything. 16 bytes pass by L1.
template <int Bytes>
KERNELS_INLINE void cp_async(uint32_t shared, const void* global, int read) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#if !KERNELS_CUDA
  emulation::cp_async(shared, global, Bytes, read);
#else
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
                 "r"(read)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(global),
                 "n"(Bytes), "r"(read)
                 : "memory");
#endif
}
/// Likewise all of the source, or nothing.
template <int Bytes>
KERNELS_INLINE void cp_async(uint32_t shared, const void* global, bool filled = true) {
  cp_async<Bytes>(shared, global, filled ? Bytes : 0);
}

/// PTX ISA, "cp.async.commit_group": what this thread has begun since the last one is a group.
KERNELS_INLINE void cp_async_commit() {
#if KERNELS_CUDA
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulation::cp_async_commit();
#endif
}

/// PTX ISA, "cp.async.wait_group": waits until all of this thread's groups but the last
/// `Groups` are done. The other threads see them after a barrier.
template <int Groups>
KERNELS_INLINE void cp_async_wait() {
#if KERNELS_CUDA
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
#else
  emulation::cp_async_wait(Groups);
#endif
}

/// PTX ISA, "cp.async.mbarrier.arrive" .noinc: arrives at `mbarrier` for this thread when all
/// that it has begun so far is done; one of the arrivals that the mbarrier was made for.
KERNELS_INLINE void cp_async_arrive(uint32_t mbarrier) {
#if KERNELS_CUDA
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(mbarrier) : "memory");
#else
  emulation::cp_async_arrive(mbarrier);
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
