#include "tests/conformance_warp_device_test.h"
#include <algorithm>
#include <numeric>
#include "tests/support/conformance.h"

// Source of what is expected: PTX ISA 9.0, "Data Movement: shfl.sync" (the lane that is read, as
// pseudocode), "vote.sync", "bar", "atom"; CUDA C++ Programming Guide, "Thread Hierarchy".

namespace kinema::test {
namespace {

const WarpConformance& device(const DeviceRun& run) {
  return device_of(run, &warp_conformance_cuda, &warp_conformance_emulated);
}

/// The lane that shfl.sync reads; CUDA's functions give clamp 31 (0 for `up`) and segments of
/// `width` lanes.
int lane_read(const ShuffleCase& c, int lane) {
  const int mask = 32 - c.width, clamp = c.mode == ShuffleCase::up ? 0 : 31;
  const int highest = (lane & mask) | (clamp & ~mask & 31), lowest = lane & mask;
  int from = lane;
  bool inside = true;
  if (c.mode == ShuffleCase::up) {
    from = lane - c.operand;
    inside = from >= highest;
  } else if (c.mode == ShuffleCase::down) {
    from = lane + c.operand;
    inside = from <= highest;
  } else if (c.mode == ShuffleCase::butterfly) {
    from = lane ^ c.operand;
    inside = from <= highest;
  } else {
    from = lowest | (c.operand & ~mask & 31);
    inside = from <= highest;
  }
  return inside ? from : lane;
}

std::vector<ShuffleCase> all_shuffles() {
  std::vector<ShuffleCase> cases;
  for (int mode = 0; mode < 4; ++mode)
    for (int width : {1, 2, 4, 8, 16, 32})
      for (int operand = 0; operand < 32; ++operand)
        cases.push_back({ShuffleCase::Mode(mode), operand, width});
  return cases;
}

template <class T>
void expect_shuffles(const DeviceRun& run, Probe probe) {
  const auto cases = all_shuffles();
  const auto got = probed<T>(run, probe, cases, cases.size() * 32);
  for (size_t i = 0; i < cases.size(); ++i)
    for (int lane = 0; lane < 32; ++lane)
      ASSERT_EQ(got[32 * i + size_t(lane)], T(lane_read(cases[i], lane)) + T(0.5))
          << run.name << ": mode " << cases[i].mode << ", operand " << cases[i].operand
          << ", width " << cases[i].width << ", lane " << lane;
}

TEST(WarpConformance, ShufflesReadTheLaneOfThePtxIsa) {
  for (const DeviceRun& run : device_runs()) {
    expect_shuffles<int>(run, device(run).shuffle_int);
    expect_shuffles<float>(run, device(run).shuffle_float);
    expect_shuffles<double>(run, device(run).shuffle_double);
  }
}

TEST(WarpConformance, HalvesOfAWarpWorkApart) {
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<int>(run, device(run).halves, std::vector<int>{}, 128);
    for (int lane = 0; lane < 32; ++lane) {
      const int first = lane & 16, at = lane & 15;
      uint32_t ballot = 0;
      for (int l = first; l < first + 16; ++l) ballot |= uint32_t(l % 3 == 0) << l;
      EXPECT_EQ(got[size_t(lane)], first + (at ^ 5)) << run.name;
      EXPECT_EQ(got[size_t(32 + lane)], at + 3 < 16 ? lane + 3 : lane) << run.name;
      EXPECT_EQ(uint32_t(got[size_t(64 + lane)]), ballot) << run.name;
      EXPECT_EQ(got[size_t(96 + lane)], first + 7) << run.name;
    }
  }
}

TEST(WarpConformance, VotesCollectABitALane) {
  const std::vector<uint32_t> masks = {0,          1,          0x80000000u, 0xffffffffu,
                                       0x7fffffff, 0xfffffffe, 0x12345678u, 0xf0f0f0f0u};
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<uint32_t>(run, device(run).votes, masks, 8 * 96);
    for (size_t i = 0; i < 8; ++i)
      for (size_t lane = 0; lane < 32; ++lane) {
        EXPECT_EQ(got[96 * i + lane], masks[i]) << run.name;
        EXPECT_EQ(got[96 * i + 32 + lane], uint32_t(masks[i] != 0)) << run.name;
        EXPECT_EQ(got[96 * i + 64 + lane], uint32_t(masks[i] == 0xffffffffu)) << run.name;
      }
  }
}

TEST(WarpConformance, LanesThatAWarpLacksVoteZero) {
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<uint32_t>(run, device(run).short_warp, std::vector<int>{}, 40);
    for (size_t t = 0; t < 40; ++t) EXPECT_EQ(got[t], t < 32 ? 0xaaaaaaaau : 0xaau) << run.name;
  }
}

TEST(WarpConformance, BarriersOrderSharedMemory) {
  std::vector<float> in(64);
  std::iota(in.begin(), in.end(), 1.0f);
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<float>(run, device(run).exchange, in, 64);
    for (size_t t = 0; t < 64; ++t) {
      const size_t from = 63 - t, warp = from & ~size_t(31);
      EXPECT_EQ(got[t], in[warp + 31 - from % 32]) << run.name;
    }
  }
}

TEST(WarpConformance, NamedBarriersHandSlotsOver) {
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<float>(run, device(run).handshake, std::vector<int>{}, 16);
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(got[i], float((i / 2) * (i / 2))) << run.name;
  }
}

TEST(WarpConformance, ThreadsAndBlocksAreNumberedXFirst) {
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<int>(run, device(run).places, std::vector<int>{}, 12 * 60 * 10);
    for (int block = 0; block < 12; ++block)
      for (int thread = 0; thread < 60; ++thread) {
        const int wanted[] = {
            thread % 5, thread / 5 % 4, thread / 20, block % 3, block / 3 % 2, block / 6, 5, 4,
            3,          thread & ~31};
        for (int i = 0; i < 10; ++i)
          EXPECT_EQ(got[size_t((block * 60 + thread) * 10 + i)], wanted[i])
              << run.name << ", " << i;
      }
  }
}

/// A butterfly from 16 down to 1: the order that warp_reduce promises.
std::vector<float> butterfly(std::vector<float> v) {
  for (size_t other = 16; other > 0; other /= 2) {
    const std::vector<float> before = v;
    for (size_t i = 0; i < v.size(); ++i) v[i] = before[i] + before[i ^ other];
  }
  return v;
}

TEST(WarpConformance, SumsAreAddedInTheirOrder) {
  std::vector<float> in(256);
  for (size_t i = 0; i < in.size(); ++i) in[i] = 1.0f / float(i * 7 % 256 + 1);
  const std::vector<float> warps = butterfly(in);
  float all = warps[0];
  for (size_t w = 1; w < 8; ++w) all += warps[32 * w];
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<float>(run, device(run).reductions, in, 512);
    for (size_t t = 0; t < 256; ++t) {
      EXPECT_EQ(got[t], warps[t]) << run.name;
      EXPECT_EQ(got[256 + t], all) << run.name;
    }
  }
}

TEST(WarpConformance, SharedVariablesLieApart) {
  const std::vector<uint32_t> wanted = {103, 201, 331, 12, 124, 0, 0};
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<uint32_t>(run, device(run).shared, std::vector<int>{}, 7), wanted) << run.name;
}

TEST(WarpConformance, AtomicsGiveTheOldValue) {
  std::vector<int> numbers(1024);
  std::iota(numbers.begin(), numbers.end(), 0);
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<int>(run, device(run).atomics, std::vector<int>{}, 4100);
    const auto sorted = [&](int64_t first, int more) {
      std::vector<int> v(got.begin() + first, got.begin() + first + 1024);
      v.push_back(more);
      std::sort(v.begin(), v.end());
      return v;
    };
    std::vector<int> sums = numbers, exchanged = numbers;
    sums.push_back(1024);
    exchanged.insert(exchanged.begin(), -1);
    EXPECT_EQ(sorted(0, got[4096]), sums) << run.name;
    EXPECT_EQ(sorted(1024, got[4097]), exchanged) << run.name;
    // Whatever the order, an old maximum is the start or one that some thread has brought.
    EXPECT_EQ(got[4098], -3000 + 1023) << run.name;
    for (size_t t = 0; t < 1024; ++t) {
      const int old = got[2048 + t];
      EXPECT_TRUE(old == -5000 || (old >= -3000 && old < -3000 + 1024)) << run.name << ": " << old;
    }
    // One thread finds 7 and takes the lock; all others find what it left.
    int takers = 0;
    for (size_t t = 0; t < 1024; ++t) {
      if (got[3072 + t] == 7) ++takers;
      EXPECT_EQ(got[3072 + t] == 7 ? int(1000 + t) : got[3072 + t], got[4099]) << run.name;
    }
    EXPECT_EQ(takers, 1) << run.name;
  }
}

TEST(WarpConformance, AtomicsOf64BitsCarry) {
  const uint64_t one = (uint64_t(1) << 40) + 1;
  for (const DeviceRun& run : device_runs()) {
    auto got = probed<uint64_t>(run, device(run).wide_atomics, std::vector<int>{}, 513);
    EXPECT_EQ(got[0], 512 * one) << run.name;
    std::sort(got.begin() + 1, got.end());
    for (size_t i = 0; i < 512; ++i) EXPECT_EQ(got[1 + i], i * one) << run.name;
  }
}

TEST(WarpConformance, OneBlockIsTheLastAndSeesAll) {
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<int>(run, device(run).last_block, std::vector<int>{}, 49);
    for (size_t round = 0; round < 2; ++round) {
      const auto flags = got.begin() + int64_t(12 * round), sums = flags + 24;
      EXPECT_EQ(std::accumulate(flags, flags + 12, 0), 1) << run.name;
      EXPECT_EQ(std::accumulate(sums, sums + 12, 0), 12 * 13 / 2) << run.name;
    }
    EXPECT_EQ(got[48], 0) << run.name;
  }
}

TEST(WarpConformance, TheGridWaitsForAllItsBlocks) {
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<int>(run, device(run).grid_barrier, std::vector<int>{}, 257);
    for (int t = 0; t < 256; ++t)
      EXPECT_EQ(got[size_t(t)], (t + 64) % 256 + 2 * ((t + 128) % 256)) << run.name;
    EXPECT_EQ(got[256], 0) << run.name;
  }
}

}  // namespace
}  // namespace kinema::test
