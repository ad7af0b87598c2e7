#pragma once
#include "kernels/device/twin.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/async_calls.h"
#endif

// Barriers in shared memory, at which threads and copies arrive: PTX ISA, "mbarrier". An mbarrier
// is a uint64_t, spoken of by its shared_address(), a multiple of 8. It counts phases: one is over
// when as many arrivals as init said have come and as many bytes as were expected; the next begins
// at once. Threads wait for the end of the phase of a parity: 0 for the first, then 1, 0...

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// By one thread; then fence_mbarrier_init() where copies or other blocks arrive, and a barrier,
/// before anybody uses it. `count`: arrivals a phase, 1 to 2^20-1.
KERNELS_INLINE void mbarrier_init(uint32_t mbarrier, uint32_t count) {
#if KERNELS_CUDA
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(mbarrier), "r"(count) : "memory");
#else
  emulation::mbarrier_init(mbarrier, count);
#endif
}

/// Ends the mbarrier's life: its memory may be used otherwise after a barrier.
KERNELS_INLINE void mbarrier_invalidate(uint32_t mbarrier) {
#if KERNELS_CUDA
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(mbarrier) : "memory");
#else
  emulation::mbarrier_invalidate(mbarrier);
#endif
}

/// One arrival. What this thread did before comes before what those do that wait for the phase.
KERNELS_INLINE void mbarrier_arrive(uint32_t mbarrier) {
#if KERNELS_CUDA
  asm volatile("{ .reg .b64 t; mbarrier.arrive.shared::cta.b64 t, [%0]; }" ::"r"(mbarrier)
               : "memory");
#else
  emulation::mbarrier_arrive(mbarrier);
#endif
}

/// One arrival at an mbarrier of another block of the cluster: `address` is a cluster_address().
KERNELS_INLINE void mbarrier_arrive_cluster(uint32_t address) {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(address)
                   : "memory");
#else
  emulation::mbarrier_arrive(address);
#endif
}

/// The present phase waits for so many bytes more of copies; at most 2^20-1 at any time.
KERNELS_INLINE void mbarrier_expect_tx(uint32_t mbarrier, uint32_t bytes) {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(mbarrier),
                   "r"(bytes)
                   : "memory");
#else
  emulation::mbarrier_expect(mbarrier, bytes, false);
#endif
}
/// Likewise, and one arrival.
KERNELS_INLINE void mbarrier_arrive_expect_tx(uint32_t mbarrier, uint32_t bytes) {
#if KERNELS_CUDA
  KERNELS_PTX_SM90(
      "{ .reg .b64 t; mbarrier.arrive.expect_tx.shared::cta.b64 t, [%0], %1; }" ::"r"(mbarrier),
      "r"(bytes)
      : "memory");
#else
  emulation::mbarrier_expect(mbarrier, bytes, true);
#endif
}

/// True if the phase of `parity` is over; may wait a little first. Of a new mbarrier the phase of
/// parity 1 counts as over.
KERNELS_INLINE bool mbarrier_try_wait(uint32_t mbarrier, uint32_t parity) {
#if !KERNELS_CUDA
  return emulation::mbarrier_try_wait(mbarrier, parity);
#else
  uint32_t over;
#if KERNELS_SM90
  asm volatile(
      "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;"
      " selp.u32 %0, 1, 0, p; }"
#else
  asm volatile(
      "{ .reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;"
      " selp.u32 %0, 1, 0, p; }"
#endif
      : "=r"(over)
      : "r"(mbarrier), "r"(parity)
      : "memory");
  return over;
#endif
}
/// Waits until the phase of `parity` is over.
KERNELS_INLINE void mbarrier_wait(uint32_t mbarrier, uint32_t parity) {
#if KERNELS_CUDA
  while (!mbarrier_try_wait(mbarrier, parity)) {
  }
#else
  emulation::mbarrier_wait(mbarrier, parity);
#endif
}

/// Makes this thread's mbarrier_init known to the cluster and to asynchronous copies: PTX ISA,
/// "membar / fence". The others still need a barrier.
KERNELS_INLINE void fence_mbarrier_init() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  emulation::fence_mbarrier_init();
#endif
}

/// What this thread has stored in shared memory so far will be seen by wgmma and by bulk copies
/// that begin after it, and after the barrier that follows in other threads.
KERNELS_INLINE void fence_proxy_async() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("fence.proxy.async.shared::cta;" ::: "memory");
#else
  emulation::fence_proxy_async();
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
