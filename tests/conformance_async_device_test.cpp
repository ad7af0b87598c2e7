#include "tests/conformance_async_device_test.h"
#include <numeric>
#include "tests/support/conformance.h"

// Source of what is expected: PTX ISA 9.0, "cp.async" (zero fill, groups), "mbarrier" (phases,
// transaction counts, parity), "cp.async.bulk", "elect.sync", "setmaxnreg".

namespace kinema::test {
namespace {

const AsyncConformance& device(const DeviceRun& run) {
  return device_of(run, &async_conformance_cuda, &async_conformance_emulated);
}

std::vector<uint32_t> counting(int count) {
  std::vector<uint32_t> v(static_cast<size_t>(count));
  std::iota(v.begin(), v.end(), 1000u);
  return v;
}
const std::vector<int> nothing;

TEST(AsyncConformance, CopiesFillOrWriteZeros) {
  const std::vector<uint32_t> in = counting(4 * copy_threads);
  std::vector<uint32_t> wanted = in;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (i / 4 % 3 == 1) wanted[i] = 0;
  for (const DeviceRun& run : device_runs())
    for (Probe copy : device(run).copy)
      EXPECT_EQ(probed<uint32_t>(run, copy, in, in.size()), wanted) << run.name;
}

TEST(AsyncConformance, CopiesReadAsManyBytesAsTheyAreTold) {
  std::vector<uint32_t> in = counting(4 * copy_threads);
  for (uint32_t& word : in) word *= 0x01020304u;
  std::vector<uint32_t> wanted = in;
  auto* bytes = reinterpret_cast<unsigned char*>(wanted.data());
  for (size_t i = 0; i < 16 * copy_threads; ++i)
    if (i % 16 >= i / 16 % 17) bytes[i] = 0;
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<uint32_t>(run, device(run).part, in, in.size()), wanted) << run.name;
}

TEST(AsyncConformance, GroupsEndInTheirOrder) {
  const std::vector<uint32_t> in = counting(copy_groups * copy_threads);
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<uint32_t>(run, device(run).groups, in, in.size()), in) << run.name;
}

TEST(AsyncConformance, CopiesArriveForTheirThreads) {
  const std::vector<uint32_t> in = counting(4 * copy_threads);
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<uint32_t>(run, device(run).copy_arrive, in, in.size());
    for (size_t i = 0; i < in.size(); ++i)
      EXPECT_EQ(got[i], in[(copy_threads - 1 - i / 4) * 4 + i % 4]) << run.name;
  }
}

TEST(AsyncConformance, PhasesAlternate) {
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<uint32_t>(run, device(run).phases, nothing, 18);
    for (uint32_t arrivals = 0; arrivals <= 8; ++arrivals) {
      // Phase p is under way; the one before it, of the other parity, is over.
      const uint32_t phase = arrivals / 2;
      EXPECT_EQ(got[2 * arrivals], phase % 2) << run.name << ": " << arrivals;
      EXPECT_EQ(got[2 * arrivals + 1], 1 - phase % 2) << run.name << ": " << arrivals;
    }
  }
}

TEST(AsyncConformance, RingsOfStagesPassEverything) {
  const std::vector<uint32_t> in = counting(32 * ring_steps);
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<uint32_t>(run, device(run).ring, in, in.size()), in) << run.name;
}

TEST(AsyncConformance, MemoryOfAnMbarrierMayBeUsedAgain) {
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<uint32_t>(run, device(run).renewed, nothing, 2),
              (std::vector<uint32_t>{77, 78}))
        << run.name;
}

TEST(AsyncConformance, PhasesWaitForTheExpectedBytes) {
  const std::vector<uint32_t> in = counting(bulk_words);
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const size_t words = in.size();
    const auto got = probed<uint32_t>(run, device(run).transactions, in, 3 * words + 3);
    for (size_t way = 0; way < 3; ++way) {
      for (size_t i = 0; i < words; ++i)
        EXPECT_EQ(got[way * words + i], in[i] + way) << run.name << ": way " << way;
      EXPECT_EQ(got[3 * words + way], 0u) << run.name << ": the next phase is not over";
    }
  }
}

TEST(AsyncConformance, BulkStoresReadThenWrite) {
  const std::vector<uint32_t> in = counting(bulk_words);
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const auto got = probed<uint32_t>(run, device(run).bulk_out, in, 2 * in.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(got[i], in[i % in.size()] + 1 + i / in.size()) << run.name;
  }
}

TEST(AsyncConformance, OneLaneIsElectedTheSameEachTime) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const auto got = probed<uint32_t>(run, device(run).elected, nothing, 256);
    for (auto warp = got.begin(); warp != got.end(); warp += 64) {
      EXPECT_EQ(std::accumulate(warp, warp + 32, 0u), 1u) << run.name;
      EXPECT_TRUE(std::equal(warp, warp + 32, warp + 32)) << run.name;
    }
  }
}

TEST(AsyncConformance, RegistersMoveBetweenWarpgroups) {
  const std::vector<uint32_t> in = counting(384);
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const auto got = probed<uint32_t>(run, device(run).registers, in, in.size());
    for (size_t t = 0; t < in.size(); ++t) {
      const auto first = in.begin() + int64_t(t / 128 * 128);
      EXPECT_EQ(got[t], std::accumulate(first, first + 128, in[t])) << run.name;
    }
  }
}

}  // namespace
}  // namespace kinema::test
