#pragma once
#include "kernels/base/half.h"
#include "kernels/device/swizzle.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/async_calls.h"
#endif

// Products of small matrices by the 32 lanes of a warp together: tensor cores of sm_80 and later.
// Every lane of the warp must come to each function here, with l its lane.

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// PTX ISA, "ldmatrix" .m8n8.x1, .x2, .x4: Count matrices of 8 rows of 16 bytes. Lane
/// 8*i + j gives in `row` the address of row j of matrix i, a multiple of 16 (of lanes from 8*Count
/// on nothing is asked). Lane l then holds in r[i] the 16-bit elements 2*(l%4) and 2*(l%4)+1 of row
/// l/4 of matrix i, the first in the lower half; _trans: of the transposed matrix. Rows that meet
/// in a bank are read one after the other.
template <int Count>
KERNELS_INLINE void ldmatrix(uint32_t (&r)[Count], uint32_t row) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
#if !KERNELS_CUDA
  emulation::ldmatrix(r, row, Count, false);
#else
  if constexpr (Count == 1)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(row)
                 : "memory");
  else if constexpr (Count == 2)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(row)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
#endif
}
template <int Count>
KERNELS_INLINE void ldmatrix_trans(uint32_t (&r)[Count], uint32_t row) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
#if !KERNELS_CUDA
  emulation::ldmatrix(r, row, Count, true);
#else
  if constexpr (Count == 1)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(row)
                 : "memory");
  else if constexpr (Count == 2)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(row)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
#endif
}

/// PTX ISA, "stmatrix": the way back, from sm_90 on.
template <int Count>
KERNELS_INLINE void stmatrix(uint32_t row, const uint32_t (&r)[Count]) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
#if !KERNELS_CUDA
  emulation::stmatrix(r, row, Count, false);
#else
  if constexpr (Count == 1)
    KERNELS_PTX_SM90("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%0], {%1};" ::"r"(row), "r"(r[0])
                     : "memory");
  else if constexpr (Count == 2)
    KERNELS_PTX_SM90("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1, %2};" ::"r"(row),
                     "r"(r[0]), "r"(r[1])
                     : "memory");
  else
    KERNELS_PTX_SM90("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
                     "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                     : "memory");
#endif
}
template <int Count>
KERNELS_INLINE void stmatrix_trans(uint32_t row, const uint32_t (&r)[Count]) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
#if !KERNELS_CUDA
  emulation::stmatrix(r, row, Count, true);
#else
  if constexpr (Count == 1)
    KERNELS_PTX_SM90("stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%0], {%1};" ::"r"(row),
                     "r"(r[0])
                     : "memory");
  else if constexpr (Count == 2)
    KERNELS_PTX_SM90("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(row),
                     "r"(r[0]), "r"(r[1])
                     : "memory");
  else
    KERNELS_PTX_SM90(
        "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
        "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
        : "memory");
#endif
}

/// Two numbers rounded to T, `low` in the lower half: a register of a fragment.
template <class T>
KERNELS_INLINE uint32_t register_of(float low, float high) {
#if !KERNELS_CUDA
  return uint32_t(T(low).bits) | uint32_t(T(high).bits) << 16;
#else
  uint32_t pair;
  if constexpr (__is_same(T, bf16))
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}
/// v as tf32, an f32 with 10 bits of mantissa, rounded to the nearest, ties away from 0. Without
/// it tensor cores cut the lower bits off.
KERNELS_INLINE uint32_t tf32_register_of(float v) {
  uint32_t bits;
#if !KERNELS_CUDA
  bits = __builtin_bit_cast(uint32_t, v);
  if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0x1000u) & ~0x1fffu;
#else
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
#endif
  return bits;
}

#if KERNELS_CUDA
#define KERNELS_MMA(shape_and_types)                                              \
  asm volatile("mma.sync.aligned." shape_and_types                                \
               " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                   \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#endif

/// d[16][8] += a[16][K] * b[K][8], sums in f32: mma.sync.m16n8k16 of bf16 or f16, m16n8k8 of float,
/// which is read as tf32 (PTX ISA, "Matrix Fragments for mma"). With g = l/4, t = l%4 lane l holds
///   d[i]          row g + 8*(i/2), column 2*t + i%2
///   a[i], 16-bit  row g + 8*(i%2), columns 2*t + 8*(i/2) and the one after: as four matrices of
///                 ldmatrix, rows 0-7 and 8-15 of columns 0-7, then of columns 8-15
///   b[i], 16-bit  rows 2*t + 8*i and the one after, column g: as ldmatrix of b transposed, [8][K],
///                 or as ldmatrix_trans of b
///   a[i], tf32    row g + 8*(i%2), column t + 4*(i/2)
///   b[i], tf32    row t + 4*i, column g
template <class T>
KERNELS_INLINE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if !KERNELS_CUDA
  emulation::mma(emulation::number_of<T>, d, a, b, 1, 1);
#else
  if constexpr (sizeof(T) == 4)
    KERNELS_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
  else if constexpr (__is_same(T, bf16))
    KERNELS_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
  else
    KERNELS_MMA("m16n8k16.row.col.f32.f16.f16.f32");
#endif
}

/// d[i][j] += a[i] * b[j]: a warp's tile of 16*Rows x 8*Columns. The same instructions as so many
/// calls of mma; emulated in one step, so faster by half.
template <class T, int Rows, int Columns>
KERNELS_INLINE void mma_tile(float (&d)[Rows][Columns][4], const uint32_t (&a)[Rows][4],
                             const uint32_t (&b)[Columns][2]) {
#if !KERNELS_CUDA
  emulation::mma(emulation::number_of<T>, &d[0][0][0], &a[0][0], &b[0][0], Rows, Columns);
#else
#pragma unroll
  for (int i = 0; i < Rows; ++i)
#pragma unroll
    for (int j = 0; j < Columns; ++j) mma<T>(d[i][j], a[i], b[j]);
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
