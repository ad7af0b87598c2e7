#pragma once
#include "kernels/conv3d/conv3d_plan.h"

// The time that a plan is predicted to take: the greatest of what the arithmetic, shared memory, L2
// and DRAM take, rounded up to whole waves of blocks. Nothing here was measured with the kernels.

namespace kinema::kernels {

/// Source: as gpu.h, compute capability 8.0; the A100's data sheet.
inline constexpr Gpu a100 = {.name = "A100",
                             .multiprocessors = 108,
                             .threads_per_multiprocessor = 2048,
                             .shared_per_block = 163 << 10,
                             .shared_per_multiprocessor = 164 << 10,
                             .l2_bytes = 40 << 20,
                             .compute_capability = 80};

/// What a whole GPU gets done in a second.
struct Conv3dRates {
  double mma;     ///< FLOP of 16-bit factors by mma.sync; those of TF32 run at half
  double fma;     ///< FLOP of f32
  double shared;  ///< bytes of shared memory
  double l2;      ///< bytes out of the L2 cache
  double dram;    ///< bytes
};
/// By compute capability, in proportion to the number of multiprocessors.
Conv3dRates conv3d_rates(const Gpu&);

/// What a plan's blocks need and do, on average; padding of tiles counts as work.
struct Conv3dLoad {
  int registers = 0;                ///< of a thread, at most
  int64_t static_shared_bytes = 0;  ///< beside the plan's
  int64_t steps = 1;                ///< of the longest sum: no more splits than that
  double stage_bytes = 0;           ///< that a stage of the pipeline loads
  double mma_flop = 0, fma_flop = 0, shared_bytes = 0, l2_bytes = 0;  ///< of a block
  double dram_bytes = 0;  ///< of the whole pass, partial sums not counted
  bool stays = false;     ///< a block goes from tile to tile and loads one while it stores another
};

/// Blocks of the plan that a multiprocessor holds at once: at least 1.
int64_t conv3d_residents(const Conv3dPlan&, const Conv3dLoad&, const Gpu&);

/// Sets waves and predicted_us.
void conv3d_predict(Conv3dPlan&, const Conv3dLoad&, const Gpu&);

}  // namespace kinema::kernels
