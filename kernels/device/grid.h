#pragma once
#include "kernels/device/atomic.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// Waits until every thread of the grid has come, in a launch with Geometry::cooperative alone: its
/// blocks all run at once. What the threads did before is then visible to all. `counter` is a word
/// of device memory that is 0 at the launch and that nothing else touches. Two synchronisations of
/// the block, and one atomic.
/// Source: the barrier of cooperative_groups::grid_group: the first block adds what is missing to
/// 2^31, so that the topmost bit changes when all have come, and the others' count is 0 again.
KERNELS_INLINE void grid_sync(unsigned* counter) {
#if !KERNELS_CUDA
  emulation::expect_cooperative("grid_sync");
#endif
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0 && threadIdx.z == 0) {
    const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
    const bool first = blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0;
    __threadfence();
    const unsigned before = atomicAdd(counter, first ? 0x80000000u - (blocks - 1) : 1u);
    while (((before ^ awaited(counter)) & 0x80000000u) == 0) {
    }
    __threadfence();
  }
  __syncthreads();
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
