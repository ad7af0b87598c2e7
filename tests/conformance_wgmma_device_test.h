#pragma once
#include <cstdint>
#include "kernels/base/backend.h"

namespace kinema::test {

inline constexpr int wgmma_steps = 4;  ///< along K: 64 numbers of 16 bits, 32 of tf32

/// Where wgmma finds an operand: fields of its descriptor, and the start of each step along K in
/// the image of shared memory.
struct OperandPlace {
  int swizzle;  ///< 0 none, 1, 2, 3 for 32, 64, 128 bytes
  uint32_t leading, stride;
  uint32_t offset[wgmma_steps];
};
struct alignas(16) WgmmaInput {
  OperandPlace a, b;
  int accumulate;        ///< whether the first step adds to what d holds
  uint32_t image_bytes;  ///< of shared memory, which follow this
};

/// A descriptor of operand a, whatever it says, and where in the image of shared memory behind this
/// a 16 x 16 identity lies without swizzle, its core matrices by halves of k first.
struct alignas(16) WgmmaReading {
  uint32_t swizzle = 0;  ///< as of OperandPlace
  uint32_t start = 0, leading = 0, stride = 0, base_offset = 0;
  uint32_t identity = 0, image_bytes = 0;
};

/// One way of wgmma: its types, majors and width; WgmmaInput -> d[thread][N / 2], from 1 on.
struct WgmmaVariant {
  enum Type : int { bf16, f16, tf32 } type;
  bool a_in_registers, a_mn_major, b_mn_major;
  int width;
  /// `a`: of operands in registers, [thread][4 steps][4 registers]; `bytes`: of the image.
  void (*run)(kernels::Stream, const void* in, const void* a, int64_t bytes, void* out);
};

/// Micro kernels for kernels/device/wgmma.h.
struct WgmmaConformance {
  const WgmmaVariant* variants;
  int count;
  /// Two products in groups of their own, the first one read while the second may run: d of both.
  void (*groups)(kernels::Stream, const void* in, int64_t bytes, void* out);
  /// WgmmaReading -> d[thread][8] = a[64][16] of bf16 as the descriptor finds it; K-major,
  /// MN-major.
  void (*reading[2])(kernels::Stream, const void* in, int64_t bytes, void* out);
};
KERNELS_OPTIONAL extern const WgmmaConformance wgmma_conformance_cuda, wgmma_conformance_emulated;

}  // namespace kinema::test
