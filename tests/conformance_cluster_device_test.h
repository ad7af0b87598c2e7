#pragma once
#include <cstdint>
#include "tests/support/probe.h"

namespace kinema::test {

inline constexpr int cluster_blocks = 4, cluster_threads = 64, cluster_grid = 8;
/// A tensor of so many rows of 128 bytes, one tile for each block of a cluster.
inline constexpr int multicast_rows = 32, multicast_row_bytes = 128;
inline constexpr unsigned char untouched = 0xee;

/// Micro kernels for kernels/device/cluster.h and the multicasts of tma.h.
struct ClusterConformance {
  Probe ranks;     ///< grid 4x2x2 of clusters 2x2x1 -> [block][rank, size]
  Probe exchange;  ///< [block][thread] words -> [block][thread][6], see the kernel
  Probe arrivals;  ///< -> [block][thread] words
  Probe halves;    ///< -> [block]: cluster_arrive() and cluster_wait() apart
  Probe multicast, multicast_im2col;  ///< the tensor -> [block][its shared memory]
};
KERNELS_OPTIONAL extern const ClusterConformance cluster_conformance_cuda,
    cluster_conformance_emulated;

}  // namespace kinema::test
