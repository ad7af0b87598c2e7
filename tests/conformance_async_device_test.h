#pragma once
#include <cstdint>
#include "tests/support/probe.h"

namespace kinema::test {

inline constexpr int copy_threads = 64, copy_groups = 4, ring_stages = 3, ring_steps = 10;
inline constexpr int bulk_words = 256;

/// Micro kernels for kernels/device/{async_copy,mbarrier,registers}.h and the bulk copies of tma.h.
struct AsyncConformance {
  /// [thread][4 words] -> the same; of each copy of 4, 8, 16 bytes, zeros where thread % 3 == 1.
  Probe copy[3];
  Probe part;         ///< [thread][4 words] -> the first thread % 17 bytes of each, zeros behind
  Probe groups;       ///< [group][thread] words -> [group][thread], read as the groups are done
  Probe copy_arrive;  ///< [thread][4 words] -> those of the threads turned round
  Probe phases;       ///< -> [18] what try_wait says, see the kernel
  Probe ring;         ///< [step][32] words -> the same, through a ring of stages
  Probe renewed;      ///< -> [2]: an mbarrier's memory as a number, then an mbarrier again
  // Of sm_90:
  Probe transactions;  ///< bulk_words -> [3][bulk_words], and [3] whether each phase was over
  Probe bulk_out;      ///< bulk_words -> twice as many, + 1 and + 2, by bulk stores
  Probe elected;       ///< -> [4 warps][2 calls][32 lanes]
  Probe registers;     ///< 384 words -> each + the sum of its warpgroup's
};
KERNELS_OPTIONAL extern const AsyncConformance async_conformance_cuda, async_conformance_emulated;

}  // namespace kinema::test
