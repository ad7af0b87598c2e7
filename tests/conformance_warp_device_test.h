#pragma once
#include <cstdint>
#include "tests/support/probe.h"

namespace kinema::test {

/// Cases of a shuffle: each lane gives its number and takes what `mode` says.
struct ShuffleCase {
  enum Mode : int { index, up, down, butterfly } mode;
  int operand, width;
};
inline constexpr int shuffle_cases = 4 * 6 * 32;

/// Micro kernels for kernels/device/{warp,atomic}.h and the places of threads.
struct WarpConformance {
  Probe shuffle_int, shuffle_float, shuffle_double;  ///< ShuffleCases -> [case][lane]
  Probe halves;        ///< the warp's halves apart -> [4][lane]: butterfly, down, ballot, index
  Probe votes;         ///< 8 masks of votes -> [mask][ballot, any, all][lane]
  Probe short_warp;    ///< 40 threads -> [thread]: ballot of the warp
  Probe exchange;      ///< 64 floats through shared memory, by warps -> [thread]
  Probe handshake;     ///< named barriers between three warps -> [step][2 consumers]
  Probe places;        ///< grid 3x2x2, block 5x4x3 -> [block][thread][10]
  Probe reductions;    ///< 256 floats -> [2][thread]: the warp's sum, the block's
  Probe shared;        ///< static beside dynamic shared memory -> [7]
  Probe atomics;       ///< 1024 threads -> [4][thread] old values, then 4 final ones
  Probe wide_atomics;  ///< the same on 64 bits: atomicAdd only -> [512] old values, then the final
  Probe last_block;    ///< 12 blocks, twice -> [24] flags, [24] sums seen, the counter
  Probe grid_barrier;  ///< 4 blocks of 64 -> [256], what two neighbours made of it; the counter
};
KERNELS_OPTIONAL extern const WarpConformance warp_conformance_cuda, warp_conformance_emulated;

}  // namespace kinema::test
