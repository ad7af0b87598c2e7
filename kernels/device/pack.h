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

/// The first `count` of the N elements at p, 0 behind them: for the end of a row. By loads of up to
/// 16 bytes where all N are asked for and `packs` says that p lies on a multiple of such a load.
template <int N, class T>
KERNELS_INLINE Pack<T, N> load_lanes(const T* p, int64_t count, bool packs) {
  constexpr int step = N * sizeof(T) <= 16 ? N : pack_lanes<T>;
  Pack<T, N> lanes;
  if (packs && count >= N) {
#pragma unroll
    for (int i = 0; i < N; i += step) {
      const Pack<T, step> part = load_pack<step>(p + i);
#pragma unroll
      for (int k = 0; k < step; ++k) lanes.lane[i + k] = part.lane[k];
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) lanes.lane[i] = i < count ? p[i] : T{};
  }
  return lanes;
}
/// Stores the first `count` of N elements, likewise.
template <int N, class T>
KERNELS_INLINE void store_lanes(T* p, const Pack<T, N>& lanes, int64_t count, bool packs) {
  constexpr int step = N * sizeof(T) <= 16 ? N : pack_lanes<T>;
  if (packs && count >= N) {
#pragma unroll
    for (int i = 0; i < N; i += step) {
      Pack<T, step> part;
#pragma unroll
      for (int k = 0; k < step; ++k) part.lane[k] = lanes.lane[i + k];
      store_pack<step>(p + i, part);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < count) p[i] = lanes.lane[i];
  }
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
