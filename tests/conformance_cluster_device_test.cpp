#include "tests/conformance_cluster_device_test.h"
#include <algorithm>
#include <numeric>
#include "tests/support/conformance.h"

// Source of what is expected: PTX ISA 9.0, "%cluster_ctarank", "mapa", "barrier.cluster",
// "cp.async.bulk.tensor" with .multicast::cluster; CUDA C++ Programming Guide, "Thread Block
// Clusters".

namespace kinema::test {
namespace {

const ClusterConformance& device(const DeviceRun& run) {
  return device_of(run, &cluster_conformance_cuda, &cluster_conformance_emulated);
}
const std::vector<int> nothing;

constexpr size_t words = cluster_grid * cluster_threads;

/// The block whose rank in its cluster comes next.
size_t next_of(size_t block) {
  return block / cluster_blocks * cluster_blocks + (block + 1) % cluster_blocks;
}

TEST(ClusterConformance, RanksCountXFirstWithinTheCluster) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const auto got = probed<uint32_t>(run, device(run).ranks, nothing, 32);
    for (size_t block = 0; block < 16; ++block) {
      const size_t x = block % 4, y = block / 4 % 2;
      EXPECT_EQ(got[2 * block], x % 2 + 2 * (y % 2)) << run.name << ": block " << block;
      EXPECT_EQ(got[2 * block + 1], 4u) << run.name;
    }
  }
}

TEST(ClusterConformance, BlocksReadAndWriteEachOther) {
  std::vector<uint32_t> in(words);
  std::iota(in.begin(), in.end(), 5000u);
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const auto got = probed<uint32_t>(run, device(run).exchange, in, 6 * words);
    for (size_t i = 0; i < words; ++i) {
      const size_t block = i / cluster_threads, t = i % cluster_threads;
      const size_t there = next_of(block) * cluster_threads + t;
      EXPECT_EQ(got[6 * i], in[there] + 2) << run.name;
      for (size_t k = 0; k < 4; ++k) EXPECT_EQ(got[6 * i + 1 + k], in[there] + k) << run.name;
      EXPECT_EQ(got[6 * there + 5], in[i] + 100) << run.name;
    }
  }
}

TEST(ClusterConformance, ArrivalsReachOtherBlocks) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    EXPECT_EQ(probed<uint32_t>(run, device(run).arrivals, nothing, words),
              std::vector<uint32_t>(words, 15u))
        << run.name;
  }
}

TEST(ClusterConformance, TheBarrierHasTwoHalves) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const auto got = probed<uint32_t>(run, device(run).halves, nothing, cluster_grid);
    for (size_t block = 0; block < cluster_grid; ++block)
      EXPECT_EQ(got[block], 1000 * (block % cluster_blocks) + 10 + next_of(block) % cluster_blocks)
          << run.name;
  }
}

TEST(ClusterConformance, MulticastsReachTheBlocksOfTheMask) {
  const size_t bytes = multicast_rows * multicast_row_bytes, tile = bytes / cluster_blocks;
  std::vector<unsigned char> in(bytes), wanted;
  for (size_t i = 0; i < bytes; ++i) in[i] = static_cast<unsigned char>(1 + i % 101);
  for (size_t block = 0; block < cluster_grid; ++block)
    for (size_t i = 0; i < bytes; ++i) {
      const bool sent = (i / tile + 1) % cluster_blocks != block % cluster_blocks;
      wanted.push_back(sent ? in[i] : untouched);
    }
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    for (Probe probe : {device(run).multicast, device(run).multicast_im2col})
      EXPECT_EQ(probed<unsigned char>(run, probe, in, wanted.size()), wanted) << run.name;
  }
}

}  // namespace
}  // namespace kinema::test
