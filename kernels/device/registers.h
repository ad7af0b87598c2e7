#pragma once
#include "kernels/device/twin.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/async_calls.h"
#endif

// Warps that do different work: who acts for the warp, and who has how many registers.

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// True in one lane of the warp, the same at each call: PTX ISA, "elect.sync". Every lane
/// must come.
KERNELS_INLINE bool elect_one() {
#if !KERNELS_CUDA
  return emulation::elect_one();
#else
  uint32_t elected = 0;
  KERNELS_PTX_SM90("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p; }"
                   : "=r"(elected));
  return elected;
#endif
}

/// PTX ISA, "setmaxnreg": from here on each thread has `Count` registers, 24 to 256 in
/// steps of 8. Every warp of a warpgroup must come, and the block must have been compiled for a
/// known count (__launch_bounds__). _alloc asks for more, and waits until others have given them
/// up by _dealloc.
template <int Count>
KERNELS_INLINE void register_alloc() {
  static_assert(Count % 8 == 0 && Count >= 24 && Count <= 256);
#if KERNELS_CUDA
  KERNELS_PTX_SM90A("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
#else
  emulation::set_registers(Count, true);
#endif
}
template <int Count>
KERNELS_INLINE void register_dealloc() {
  static_assert(Count % 8 == 0 && Count >= 24 && Count <= 256);
#if KERNELS_CUDA
  KERNELS_PTX_SM90A("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
#else
  emulation::set_registers(Count, false);
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
