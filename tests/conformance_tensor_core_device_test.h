#pragma once
#include <cstdint>
#include "tests/support/probe.h"

namespace kinema::test {

/// What the lanes of a warp hold before mma.
struct MmaInput {
  uint32_t a[32][4], b[32][2];
  float c[32][4];
};
/// Likewise for a tile of 2 x 3.
struct TileInput {
  uint32_t a[32][2][4], b[32][3][2];
  float c[32][2][3][4];
};
/// Lines of 16 bytes in shared memory, the line that each lane names, and registers to store.
struct MatrixInput {
  uint16_t lines[64][8];
  uint32_t line[32], registers[32][4];
};

/// Micro kernels for kernels/device/mma.h, of one warp each.
struct TensorCoreConformance {
  Probe mma_bf16, mma_f16, mma_tf32;        ///< MmaInput -> [lane][4]
  Probe tile_bf16, tile_f16, tile_tf32;     ///< TileInput -> [lane][2][3][4]
  Probe ldmatrix[3], ldmatrix_trans[3];     ///< of 1, 2, 4: MatrixInput -> [lane][4]
  Probe stmatrix[3], stmatrix_trans[3];     ///< MatrixInput -> [64][8]
  Probe register_bf16, register_f16, tf32;  ///< 4096 f32 -> registers of pairs; of one each
};
KERNELS_OPTIONAL extern const TensorCoreConformance tensor_core_conformance_cuda,
    tensor_core_conformance_emulated;

inline constexpr int register_values = 4096;

}  // namespace kinema::test
