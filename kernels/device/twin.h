#pragma once
#include <cstddef>
#include <cstdint>

// Every .cu is compiled twice: by nvcc for GPUs, and by the host's compiler for the emulation, in
// which each CUDA thread is a fiber (emulation/). Here is the language that both understand. The
// two must not meet in a linker, which would merge their templates, so all device code lies in
// kinema::kernels::device::inline KERNELS_TWIN.
//
//   KERNELS_DEVICE(op)        the name of an operation's constant: op_cuda or op_emulated
//   KERNELS_INLINE            a function that device code calls
//   KERNELS_BOTH              one that host code calls too
//   KERNELS_SHARED(T, a, n)   declares T a[n] in shared memory, n a constant
//   KERNELS_SM90, _SM90A      1 where this pass may use instructions of sm_90, sm_90a
//   KERNELS_PTX_SM90(...)     asm volatile(...) of such instructions; a trap in passes below
#if defined(__CUDACC__)

#include <cuda_runtime.h>
#define KERNELS_CUDA 1
#define KERNELS_TWIN device_cuda
#define KERNELS_DEVICE(op) op##_cuda
#define KERNELS_INLINE __device__ __forceinline__
#define KERNELS_BOTH __host__ __device__ __forceinline__
#define KERNELS_SHARED(T, name, count) __shared__ T name[count]
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define KERNELS_SM90 1
#else
#define KERNELS_SM90 0
#endif
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define KERNELS_SM90A 1
#else
#define KERNELS_SM90A 0
#endif
#define KERNELS_PTX_MISSING() (__trap(), __builtin_unreachable())
#if KERNELS_SM90
#define KERNELS_PTX_SM90(...) asm volatile(__VA_ARGS__)
#else
#define KERNELS_PTX_SM90(...) KERNELS_PTX_MISSING()
#endif
#if KERNELS_SM90A
#define KERNELS_PTX_SM90A(...) asm volatile(__VA_ARGS__)
#else
#define KERNELS_PTX_SM90A(...) KERNELS_PTX_MISSING()
#endif

#else

#include "kernels/device/emulation/calls.h"
#define KERNELS_CUDA 0
#define KERNELS_SM90 1
#define KERNELS_SM90A 1
#define KERNELS_TWIN device_emulated
#define KERNELS_DEVICE(op) op##_emulated
#define KERNELS_INLINE inline __attribute__((always_inline))
#define KERNELS_BOTH inline __attribute__((always_inline))
#define KERNELS_SHARED(T, name, count)                                                     \
  static char name##_site;                                                                 \
  T(&name)                                                                                 \
  [count] = *static_cast<T(*)[count]>(::kinema::kernels::device::emulation::static_shared( \
      &name##_site, sizeof(T[count]), alignof(T)))
#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static_assert(false, "use KERNELS_SHARED or dynamic_shared()");
#define threadIdx (::kinema::kernels::device::emulation::here->thread)
#define blockIdx (::kinema::kernels::device::emulation::here->block->index)
#define blockDim (::kinema::kernels::device::emulation::here->block->size)
#define gridDim (::kinema::kernels::device::emulation::here->block->grid)

namespace kinema::kernels::device::inline KERNELS_TWIN {
using emulation::dim3;
using emulation::uint3;
}  // namespace kinema::kernels::device::inline KERNELS_TWIN

#endif
