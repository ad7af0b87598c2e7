#pragma once
#include "kernels/device/device.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// make(), run by one thread and given to all of its block: for factors that come from a number in
/// memory, whose arithmetic is worth more than a barrier.
template <class T, class F>
KERNELS_INLINE T block_value(F make) {
  KERNELS_SHARED(T, value, 1);
  if (threadIdx.x == 0) value[0] = make();
  __syncthreads();
  return value[0];
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
