#pragma once
#include "kernels/base/half.h"
#include "kernels/device/swizzle.h"
#include "kernels/device/wgmma_operands.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/async_calls.h"
#endif

// Products of matrices by the 128 threads of a warpgroup together, operands in shared memory:
// tensor cores of sm_90a, PTX ISA, "wgmma". All four warps, the first a multiple of 4, come to each
// function here.
//
//   what threads stored in the operands: fence_proxy_async(), then a barrier
//   wgmma_fence();                 before the first wgmma, and again where d or a has been touched
//   wgmma<bf16>(d, a, b); ...      d must not be touched from here on
//   wgmma_commit();
//   wgmma_wait<0>();               now d holds the sums, and operands may be overwritten

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// Which axis of an operand lies side by side in shared memory: K, along which is summed, or the
/// other one, M or N. tf32 knows `k` alone.
enum class Major : int { k = 0, mn = 1 };

/// An operand in shared memory as wgmma takes it (PTX ISA, "Matrix Descriptor Format"; CUTLASS
/// cute/arch/mma_sm90_desc.hpp). With T = 16 bytes of elements and span the swizzle's, the element
/// (row, k) lies, before the swizzle, at
///   Major::k,  none     row%8 * 16 + row/8 * stride + k/T * leading + k%T elements
///   Major::k,  swizzle  row%8 * span + row/8 * stride + k elements; leading is not read
///   Major::mn, none     k%8 * 16 + k/8 * leading + row/T * stride + row%T elements
///   Major::mn, swizzle  k%8 * span + k/8 * stride + row/S * leading + row%S elements, S elements
///                       filling the span
/// all multiples of 16. One wgmma takes 32 bytes of k: the next k of a tile of Major::k is at
/// address + 32. `base_offset` is (address of the pattern >> 7) & 7 where patterns do not start on
/// multiples of 8 rows, else 0.
template <Swizzle S>
KERNELS_INLINE uint64_t wgmma_descriptor(uint32_t address, uint32_t leading_bytes,
                                         uint32_t stride_bytes, uint32_t base_offset = 0) {
  constexpr uint64_t mode = S == Swizzle::none ? 0 : 4 - uint64_t(S);
  return uint64_t((address & 0x3ffff) >> 4) | uint64_t(leading_bytes >> 4) << 16 |
         uint64_t(stride_bytes >> 4) << 32 | uint64_t(base_offset) << 49 | mode << 62;
}

/// PTX ISA, "wgmma.fence": accesses to d and to a in registers before it come before the wgmmas
/// after it.
KERNELS_INLINE void wgmma_fence() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90A("wgmma.fence.sync.aligned;" ::: "memory");
#else
  emulation::wgmma_fence();
#endif
}
/// PTX ISA, "wgmma.commit_group": the wgmmas since the last one are a group.
KERNELS_INLINE void wgmma_commit() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90A("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  emulation::wgmma_commit();
#endif
}
/// PTX ISA, "wgmma.wait_group": waits until all groups but the last `Groups` are done.
template <int Groups>
KERNELS_INLINE void wgmma_wait() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90A("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
#else
  emulation::wgmma_wait(Groups);
#endif
}
/// Keeps the compiler from moving accesses to d across this line: between what touches d and
/// wgmma_fence(), and behind wgmma_wait() where groups remain. No instruction.
template <int Count>
KERNELS_INLINE void wgmma_hold(float (&d)[Count]) {
#if KERNELS_CUDA
#pragma unroll
  for (int i = 0; i < Count; ++i) asm volatile("" : "+f"(d[i])::"memory");
#else
  (void)d;
#endif
}

#if KERNELS_CUDA
// One instruction with a in shared memory, and one with a in registers. r0 is the number of the
// first operand behind the n accumulators; what follows `majors` are the operands that it names.
#define KERNELS_WGMMA_START(N, n, types, p)                                               \
  "{ .reg .pred p; setp.ne.b32 p, %" #p ", 0; wgmma.mma_async.sync.aligned.m64n" #N types \
  " {" KERNELS_NAMES_##n "}, "
#define KERNELS_WGMMA_SHARED(N, n, types, r0, r1, r2, majors, ...)                            \
  KERNELS_PTX_SM90A(KERNELS_WGMMA_START(N, n, types, r2) "%" #r0 ", %" #r1 ", p, 1, 1" majors \
                                                         "; }"                                \
                    : KERNELS_D_##n                                                           \
                    : "l"(a), "l"(b), "r"(accumulate)__VA_ARGS__)
#define KERNELS_WGMMA_REGISTERS(N, n, types, r0, r1, r2, r3, r4, r5, major, ...)                \
  KERNELS_PTX_SM90A(KERNELS_WGMMA_START(N, n, types, r5) "{%" #r0 ", %" #r1 ", %" #r2 ", %" #r3 \
                                                         "}, %" #r4 ", p, 1, 1" major "; }"     \
                    : KERNELS_D_##n                                                             \
                    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),                       \
                      "r"(accumulate)__VA_ARGS__)

/// The instructions of one width.
template <int N>
struct WgmmaOfWidth;
#define KERNELS_WGMMA_STRUCT(N, n, r0, r1, r2, r3, r4, r5, r6)                                     \
  template <>                                                                                      \
  struct WgmmaOfWidth<N> {                                                                         \
    template <class T, int A, int B>                                                               \
    KERNELS_INLINE static void shared(float (&d)[n], uint64_t a, uint64_t b, int accumulate) {     \
      if constexpr (sizeof(T) == 4)                                                                \
        KERNELS_WGMMA_SHARED(N, n, "k8.f32.tf32.tf32", r0, r1, r2, "");                            \
      else if constexpr (__is_same(T, bf16))                                                       \
        KERNELS_WGMMA_SHARED(N, n, "k16.f32.bf16.bf16", r0, r1, r2, ", %" #r3 ", %" #r4, , "n"(A), \
                             "n"(B));                                                              \
      else                                                                                         \
        KERNELS_WGMMA_SHARED(N, n, "k16.f32.f16.f16", r0, r1, r2, ", %" #r3 ", %" #r4, , "n"(A),   \
                             "n"(B));                                                              \
    }                                                                                              \
    template <class T, int B>                                                                      \
    KERNELS_INLINE static void registers(float (&d)[n], const uint32_t (&a)[4], uint64_t b,        \
                                         int accumulate) {                                         \
      if constexpr (sizeof(T) == 4)                                                                \
        KERNELS_WGMMA_REGISTERS(N, n, "k8.f32.tf32.tf32", r0, r1, r2, r3, r4, r5, "");             \
      else if constexpr (__is_same(T, bf16))                                                       \
        KERNELS_WGMMA_REGISTERS(N, n, "k16.f32.bf16.bf16", r0, r1, r2, r3, r4, r5, ", %" #r6, ,    \
                                "n"(B));                                                           \
      else                                                                                         \
        KERNELS_WGMMA_REGISTERS(N, n, "k16.f32.f16.f16", r0, r1, r2, r3, r4, r5, ", %" #r6, ,      \
                                "n"(B));                                                           \
    }                                                                                              \
  };
KERNELS_WGMMA_WIDTHS(KERNELS_WGMMA_STRUCT)
#endif

/// PTX ISA, "wgmma.mma_async": begins d[64][N] = a[64][K] * b[N][K]^T, added to d if `accumulate`.
/// K = 16 of bf16 or f16, 8 of float, read as tf32; sums in f32; N = 2 * Count, 8 to 256 in steps
/// of 8; a and b are descriptors. With w, l warp of the warpgroup and lane, thread 32*w + l holds
///   d[i]  row 16*w + l/4 + 8*(i/2%2), column 8*(i/4) + 2*(l%4) + i%2
template <class T, Major A = Major::k, Major B = Major::k, int Count>
KERNELS_INLINE void wgmma(float (&d)[Count], uint64_t a, uint64_t b, bool accumulate = true) {
  static_assert(Count % 4 == 0 && Count <= 128, "N is a multiple of 8 up to 256");
  static_assert(sizeof(T) == 2 || (A == Major::k && B == Major::k), "tf32 operands are K-major");
#if KERNELS_CUDA
  WgmmaOfWidth<2 * Count>::template shared<T, int(A), int(B)>(d, a, b, accumulate);
#else
  emulation::wgmma({emulation::number_of<T>, 2 * Count, d, a, b, nullptr, A == Major::mn,
                    B == Major::mn, accumulate});
#endif
}
/// The same with a in registers: each warp's 16 rows as mma() takes them.
template <class T, Major B = Major::k, int Count>
KERNELS_INLINE void wgmma(float (&d)[Count], const uint32_t (&a)[4], uint64_t b,
                          bool accumulate = true) {
  static_assert(Count % 4 == 0 && Count <= 128, "N is a multiple of 8 up to 256");
  static_assert(sizeof(T) == 2 || B == Major::k, "tf32 operands are K-major");
#if KERNELS_CUDA
  WgmmaOfWidth<2 * Count>::template registers<T, int(B)>(d, a, b, accumulate);
#else
  emulation::wgmma(
      {emulation::number_of<T>, 2 * Count, d, 0, b, a, false, B == Major::mn, accumulate});
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
