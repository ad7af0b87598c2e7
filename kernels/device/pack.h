#pragma once
#include <cstring>
#include "kernels/base/half.h"
#include "kernels/device/twin.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// v as f32: exact.
KERNELS_INLINE float to_float(float v) { return v; }
KERNELS_INLINE float to_float(bf16 v) {
#if KERNELS_CUDA
  return __uint_as_float(uint32_t(v.bits) << 16);
#else
  return float(v);
#endif
}
KERNELS_INLINE float to_float(f16 v) {
#if KERNELS_CUDA
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
#else
  return float(v);
#endif
}

/// v rounded to the nearest T, ties to even; NaN stays NaN.
template <class T>
KERNELS_INLINE T from_float(float v) {
#if KERNELS_CUDA
  T t;
  if constexpr (sizeof(T) == 4)
    t = v;
  else if constexpr (__is_same(T, bf16))
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(t.bits) : "f"(v));
  else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(t.bits) : "f"(v));
  return t;
#else
  return T(v);
#endif
}

/// N elements side by side: what one instruction loads or stores.
template <class T, int N>
struct alignas(N * sizeof(T)) Pack {
  static constexpr int size = N;
  T lane[N];
};

/// Elements of 16 bytes.
template <class T>
inline constexpr int pack_lanes = 16 / int(sizeof(T));

/// The N elements at p by one load; p lies on a multiple of their bytes.
template <int N, class T>
KERNELS_INLINE Pack<T, N> load_pack(const T* p) {
#if KERNELS_CUDA
  Pack<T, N> pack;
  if constexpr (N * sizeof(T) == 16) {
    const uint4 words = *reinterpret_cast<const uint4*>(p);
    memcpy(&pack, &words, 16);
  } else {
    pack = *reinterpret_cast<const Pack<T, N>*>(p);
  }
  return pack;
#else
  return *reinterpret_cast<const Pack<T, N>*>(p);
#endif
}
template <int N, class T>
KERNELS_INLINE void store_pack(T* p, const Pack<T, N>& pack) {
#if KERNELS_CUDA
  if constexpr (N * sizeof(T) == 16) {
    uint4 words;
    memcpy(&words, &pack, 16);
    *reinterpret_cast<uint4*>(p) = words;
  } else {
    *reinterpret_cast<Pack<T, N>*>(p) = pack;
  }
#else
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
#endif
}

/// The N elements at p as f32, and back, rounded.
template <int N, class T>
KERNELS_INLINE void load_floats(const T* p, float (&to)[N]) {
  const Pack<T, N> pack = load_pack<N>(p);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = to_float(pack.lane[i]);
}
template <int N, class T>
KERNELS_INLINE void store_floats(T* p, const float (&from)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.lane[i] = from_float<T>(from[i]);
  store_pack<N>(p, pack);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
