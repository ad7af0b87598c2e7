#pragma once
#include <cmath>
#include "kernels/device/twin.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// CUDA's functions of numbers that C++ has not, under their names.
#if !KERNELS_CUDA
KERNELS_INLINE int __popc(uint32_t v) { return __builtin_popcount(v); }
KERNELS_INLINE int __clz(int v) { return v ? __builtin_clz(uint32_t(v)) : 32; }
KERNELS_INLINE int __ffs(int v) { return __builtin_ffs(v); }
KERNELS_INLINE uint32_t __float_as_uint(float v) { return __builtin_bit_cast(uint32_t, v); }
KERNELS_INLINE float __uint_as_float(uint32_t v) { return __builtin_bit_cast(float, v); }
KERNELS_INLINE uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }
KERNELS_INLINE float rsqrtf(float v) { return 1.0f / std::sqrt(v); }
KERNELS_INLINE float __expf(float v) { return std::exp(v); }
KERNELS_INLINE float __logf(float v) { return std::log(v); }
KERNELS_INLINE float __fdividef(float a, float b) { return a / b; }
#endif

/// The upper 64 bits of a * b.
KERNELS_BOTH uint64_t multiply_high(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(a, b);
#else
  return uint64_t(static_cast<unsigned __int128>(a) * b >> 64);
#endif
}

/// max(a, b), where NaN wins.
KERNELS_INLINE float max_or_nan(float a, float b) { return b > a || b != b ? b : a; }

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
