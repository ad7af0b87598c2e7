#pragma once
#include "kernels/device/index.h"
#include "tests/support/probe.h"

namespace kinema::test {

inline constexpr int64_t conversions = 1 << 18, pack_elements = 1024, number_pairs = 4096;

/// One division and one row to find; on both sides of the same bytes.
struct Division {
  kernels::device::FastDivisor by;
  int64_t n;
};
struct SmallDivision {
  kernels::device::SmallDivisor by;
  int n;
};
struct Row {
  kernels::device::RowIndex rows;
  int64_t row;
};
inline constexpr int64_t divisions = 8192, rows_found = 4096;

/// Micro kernels for kernels/device/{pack,math,index}.h.
struct NumberConformance {
  Probe to_bf16, to_f16, to_f32;         ///< `conversions` f32 -> as many of the type
  Probe from_bf16, from_f16;             ///< all 65536 numbers of the type -> f32
  Probe reverse_f32[2], reverse_f16[3];  ///< lanes of 2, 4 (8) elements turned round
  Probe increment_bf16, increment_f16;   ///< packs of 8 as f32 and back, 1 added
  Probe integers;      ///< pairs of uint32 -> [pair][popc, clz, ffs, umulhi, bits as f32 and back]
  Probe high;          ///< pairs of uint64 -> the upper word of their product
  Probe functions;     ///< pairs of f32 -> [pair][rsqrtf, __expf, __logf, __fdividef, max_or_nan]
  Probe divide;        ///< Divisions -> [division][quotient, remainder]
  Probe divide_small;  ///< SmallDivisions -> [division][quotient, remainder]
  Probe find_rows;     ///< Rows -> offset
};
KERNELS_OPTIONAL extern const NumberConformance number_conformance_cuda,
    number_conformance_emulated;

}  // namespace kinema::test
