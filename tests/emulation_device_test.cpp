// labels: emulated
#include "tests/emulation_device_test.h"
#include <array>
#include <atomic>
#include <fstream>
#include <thread>
#include "kernels/device/emulation/emulation.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

namespace emulation = kernels::device::emulation;
using emulation::Schedule;

const EmulationKernels& kernel = emulation_kernels;
constexpr Schedule schedules[] = {Schedule::warp, Schedule::backward, Schedule::prio};

/// What `run` makes of `count` ints, all bits set before; [256] is 0.
std::vector<int> results(EmulationRun run, int64_t count = 64) {
  const std::shared_ptr<void> memory(emulation::allocate(count * 4), emulation::release);
  auto* ints = static_cast<int*>(memory.get());
  if (count > 256) ints[256] = 0;
  run({}, ints);
  return {ints, ints + count};
}

/// The lines of the kernels that are marked with `mark`, as reports name them.
std::vector<std::string> lines(const std::string& mark) {
  std::ifstream file("tests/emulation_device_test.cu");
  std::vector<std::string> found;
  std::string text;
  for (int number = 1; std::getline(file, text); ++number)
    if (text.find("// ") != std::string::npos && (text + " ").find(mark + " ") != std::string::npos)
      found.push_back("emulation_device_test.cu:" + std::to_string(number));
  return found;
}

bool mentions_one_of(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    if ((text + " ").find(part) != std::string::npos) return true;
  return false;
}

bool matches(const std::string& text, const std::string& pattern) {
  return testing::Matcher<std::string>(testing::ContainsRegex(pattern)).Matches(text);
}

/// Each schedule's report of a race matches `text` and names both lines.
void expect_race(EmulationRun run, const std::string& name, const std::string& text,
                 int64_t count = 64) {
  for (Schedule schedule : schedules) {
    const emulation::Scope scope({.schedule = schedule});
    const std::string report = refusal_of([&] { results(run, count); });
    EXPECT_TRUE(matches(report, text)) << report << "\n" << text;
    EXPECT_TRUE(mentions_one_of(report, lines("HERE " + name))) << report;
    EXPECT_TRUE(mentions_one_of(report, lines("THERE " + name))) << report;
  }
}

TEST(Emulation, WhatIsOrderedIsNoRace) {
  for (Schedule schedule : schedules) {
    const emulation::Scope scope({.schedule = schedule});
    EXPECT_EQ(results(kernel.many_readers), std::vector<int>(64, 9 * 6));
    EXPECT_EQ(results(kernel.bytes_of_a_word)[10], 53);
    EXPECT_EQ(results(kernel.named_barrier)[1], 300 + 3 * 30);
    EXPECT_EQ(results(kernel.shared_atomics), std::vector<int>(64, 63 * 32));
  }
}

TEST(Emulation, RacesAreReportedInEverySchedule) {
  if (!emulation::watches_races()) GTEST_SKIP() << "the race detector is not built in";
  const std::string where = "^emulation_test: block \\(0,0,0\\) thread \\([0-9]+,0,0\\) at ";
  expect_race(kernel.read_too_early, "read_too_early",
              where +
                  ".*: (reads|writes) shared memory at [0-9]+, which thread \\([0-9]+,0,0\\) "
                  "(wrote|read) at .* with no barrier between: a (RAW|WAR) race$");
  expect_race(kernel.overwritten_too_early, "overwritten_too_early", where + ".*a (RAW|WAR) race$");
  expect_race(kernel.written_twice, "written_twice", where + ".*a WAW race$");
  expect_race(kernel.one_reader_of_many, "one_reader_of_many",
              "thread \\((3|40),0,0\\) at .*thread \\((3|40),0,0\\).*a (RAW|WAR) race$");
  expect_race(kernel.shuffle_is_no_barrier, "shuffle_is_no_barrier", where + ".*a (RAW|WAR) race$");
  expect_race(kernel.arrival_is_no_wait, "arrival_is_no_wait", where + ".*a (RAW|WAR) race$");
  expect_race(kernel.atomic_beside_read, "atomic_beside_read", where + ".*a (RAW|WAR) race$");
}

TEST(Emulation, BlocksThatHandOverAreNoRace) {
  for (Schedule schedule : schedules)
    for (int threads : {1, 2, 4})
      for (int round = 0; round < 10; ++round) {
        const emulation::Scope scope({.schedule = schedule, .threads = threads});
        EXPECT_EQ(results(kernel.last_block, 257)[63], 255 * 128);
        EXPECT_EQ(results(kernel.last_block, 257)[256], 0);
        EXPECT_EQ(results(kernel.neighbours_of_a_word, 257)[0], 0);
      }
}

TEST(Emulation, RacesOfBlocksAreReportedInEverySchedule) {
  if (!emulation::watches_races()) GTEST_SKIP() << "the race detector is not built in";
  const std::string where =
      "block \\([0-3],0,0\\) thread .* global memory at 0x[0-9a-f]*, which "
      "block \\([0-3],0,0\\) .* in the same launch: a ";
  expect_race(kernel.blocks_write_twice, "blocks_write_twice", where + "WAW race$", 257);
  expect_race(kernel.read_of_another, "read_of_another", where + "(RAW|WAR) race$", 257);
  expect_race(kernel.in_place, "in_place", where + "(RAW|WAR) race$", 257);
  expect_race(kernel.last_block_unfenced, "last_block_unfenced", where + "RAW race$", 257);
}

/// The report of `run` matches `text`, and names the line of `name` unless it is "".
void expect_report(EmulationRun run, const std::string& name, const std::string& text,
                   int64_t count = 64) {
  const std::string report = refusal_of([&] { results(run, count); });
  EXPECT_TRUE(matches(report, text)) << report << "\n" << text;
  EXPECT_TRUE(name.empty() || mentions_one_of(report, lines("HERE " + name))) << report;
}

TEST(Emulation, SchedulesAreReproducible) {
  const auto order = [](Schedule schedule, uint64_t seed, int threads) {
    const emulation::Scope scope({.schedule = schedule, .seed = seed, .threads = threads});
    std::vector<int> all = results(kernel.order, 257);
    EXPECT_EQ(all[256], 256);
    return all;
  };
  const std::vector<int> forward = order(Schedule::warp, 1, 1);
  const std::vector<int> backward = order(Schedule::backward, 1, 1);
  for (int t = 0; t < 256; ++t) {
    EXPECT_EQ(forward[size_t(t)], t);
    EXPECT_EQ(backward[size_t(t)], t / 64 * 64 + 63 - t % 64);
  }
  EXPECT_EQ(order(Schedule::prio, 7, 1), order(Schedule::prio, 7, 1));
  EXPECT_NE(order(Schedule::prio, 7, 1), order(Schedule::prio, 8, 1));
}

TEST(Emulation, AnyNumberOfThreadsOfTheHostGivesTheSame) {
  for (int threads : {1, 2, 5}) {
    const emulation::Scope scope({.threads = threads});
    EXPECT_EQ(results(kernel.order, 257)[256], 256);
    EXPECT_EQ(results(kernel.many_readers), std::vector<int>(64, 54));
  }
}

TEST(Emulation, ThreadsOfTheHostLaunchBesideEachOther) {
  std::vector<std::thread> hosts;
  std::atomic<int> right = 0;
  for (int h = 0; h < 4; ++h)
    hosts.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        right += results(kernel.many_readers) == std::vector<int>(64, 54);
        right += refusal_of([] { results(kernel.missing_thread); }) != "";
      }
    });
  for (std::thread& host : hosts) host.join();
  EXPECT_EQ(right, 4 * 20 * 2);
}

TEST(Emulation, WhoWaitsForNobodyIsReported) {
  expect_report(kernel.missing_thread, "missing_thread",
                "^emulation_test: deadlock, no thread can go on: 31 of warp 0 wait in barrier_sync "
                "at .*; 32 of warp 1 wait in barrier_sync at [^;]*$");
  for (Schedule schedule : schedules) {
    const emulation::Scope scope({.schedule = schedule});
    expect_report(kernel.endless_wait, "endless_wait",
                  "deadlock.*32 of warp 1 wait in a loop that waits at ");
  }
  expect_report(
      kernel.grid_sync_alone, "grid_sync_alone",
      "block \\(0,0,0\\) thread \\(0,0,0\\) at .*: grid_sync: the launch is not cooperative");
}

TEST(Emulation, ThreadsThatMeetInDifferentPlacesAreReported) {
  expect_report(
      kernel.unequal_counts, "unequal_counts",
      "thread \\(32,0,0\\) at .*: barrier 1: expected 64 threads as those before, got 32$");
  expect_report(
      kernel.odd_count, "odd_count",
      "barrier 1: the count must be a multiple of 32 up to the block's 64 threads, got 33$");
  expect_report(kernel.no_such_barrier, "no_such_barrier", "must be from 0 to 15, got 16$");
  expect_report(kernel.different_operations, "different_operations",
                "__ballot_sync, while other lanes of the warp wait in __shfl_xor_sync$");
  expect_report(kernel.not_in_the_mask, "not_in_the_mask",
                "__shfl_sync: lane 16 is not in its mask 0000ffff$");
  expect_report(kernel.throws, "", "the kernel threw: divisor: must be at least 1, got 0$");
  if (!emulation::watches_races()) return;
  expect_race(kernel.two_barriers, "two_barriers",
              "__syncthreads, while others of the block wait in the one at ");
}

TEST(Emulation, SharedMemoryIsHeldToTheGpusSize) {
  expect_report(kernel.too_much_shared, "too_much_shared",
                "expected at most 232448 bytes on 4 multiprocessors, got 49152 and 204800 of");
  expect_report(kernel.no_shared_pointer, "no_shared_pointer", "does not lie in shared memory$");
}

TEST(Emulation, LaunchesThatAGpuRefusesAreRefused) {
  const auto refusal = [](const EmulationShape& shape) {
    return refusal_of([&] { kernel.shaped({}, shape); });
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({.block = {1025, 1, 1}}),
            "emulation_test: a block has 1 to 1024 threads, got 1025");
  EXPECT_EQ(refusal({.block = {1, 1, 65}}),
            "emulation_test: a block has at most 64 threads in z, got 65");
  EXPECT_EQ(refusal({.grid = {0, 1, 1}}), "emulation_test: an empty grid");
  EXPECT_EQ(refusal({.grid = {1, 65536, 1}}),
            "emulation_test: a grid has at most 2^31-1, 65535, 65535 blocks, got 1, 65536, 1");
  EXPECT_EQ(refusal({.shared_bytes = 232449}),
            "emulation_test: expected at most 232448 bytes of shared memory on 4 multiprocessors, "
            "got 232449");
  EXPECT_EQ(refusal({.grid = {3, 1, 1}, .cluster = {2, 1, 1}}),
            "emulation_test: the grid must consist of whole clusters");
  EXPECT_EQ(refusal({.grid = {9, 1, 1}, .cluster = {9, 1, 1}}),
            "emulation_test: a cluster has 1 to 8 blocks, got 9");
  EXPECT_EQ(refusal({.grid = {129, 1, 1}, .cooperative = true}),
            "emulation_test: a cooperative grid has at most 128 such blocks on 4 multiprocessors, "
            "got 129");
  EXPECT_EQ(refusal({.grid = {9, 1, 1}, .shared_bytes = 100 << 10, .cooperative = true}),
            "emulation_test: a cooperative grid has at most 8 such blocks on 4 multiprocessors, "
            "got 9");
  const emulation::Scope scope({.gpu = kernels::small_shared_memory});
  EXPECT_EQ(refusal({.shared_bytes = 100 << 10}),
            "emulation_test: expected at most 101376 bytes of shared memory on 99 KB of shared "
            "memory, got 102400");
  EXPECT_EQ(refusal({.grid = {2, 1, 1}, .cluster = {2, 1, 1}}),
            "emulation_test: 99 KB of shared memory has no clusters");
}

// What beside these makes an index is held in conformance_number_device_test: divisions, rows.
TEST(Emulation, IndicesGoBeyond2To32) {
  for (const auto& [block, blocks, threads] : {std::array<unsigned, 3>{1u << 21, 1u << 22, 1024},
                                               {1u << 22, 1u << 22, 1024},
                                               {(1u << 31) - 2, (1u << 31) - 1, 1024}}) {
    const auto [first, step] = kernel.index_of(block, blocks, 1023, threads);
    EXPECT_EQ(first, int64_t(block) * 1024 + 1023);
    EXPECT_EQ(step, int64_t(blocks) * 1024);
  }
}

TEST(Emulation, GlobalMemoryIsCounted) {
  if (!emulation::watches_races()) GTEST_SKIP() << "only where the race detector watches";
  const auto moved = [](EmulationRun run) {
    const auto t = traffic([&] { results(run, 512); });
    return std::pair(t->read, t->written);
  };
  EXPECT_EQ(moved(kernel.copy), std::pair(int64_t(1024), int64_t(1024)));
  EXPECT_EQ(moved(kernel.many_readers), std::pair(int64_t(0), int64_t(256)));
  // Atomics read and write.
  EXPECT_EQ(moved(kernel.order), std::pair(int64_t(1024), int64_t(2048)));
  EXPECT_EQ(emulation::launches().size(), 1u);
  EXPECT_EQ(emulation::launches()[0].name, "emulation_test");
  EXPECT_EQ(emulation::launches()[0].count, 1);
}

TEST(Emulation, BoundsAreExactUnderTheRaceDetector) {
  if (!emulation::watches_races()) GTEST_SKIP() << "only where the race detector watches";
  const std::string outside =
      "4 bytes of global memory at 0x[0-9a-f]+ lie outside of every allocation: ";
  EXPECT_EQ(results(kernel.behind_global, 65)[64], 0);
  expect_report(kernel.behind_global, "behind_global", "thread \\(63,0,0\\) at .*: " + outside);
  expect_report(kernel.across_global, "across_global", "8 bytes of global memory at ", 15);
  expect_report(kernel.before_global, "before_global", "thread \\(0,0,0\\) at .*: " + outside);
  expect_report(kernel.behind_dynamic, "behind_dynamic",
                "thread \\(63,0,0\\) at .*: writes 4 bytes at [0-9]+, outside of shared memory");
  expect_report([](kernels::Stream s, int*) { kernel.copy(s, nullptr); }, "",
                "reads [0-9]+ bytes at a null pointer$");
}

#if defined(__SANITIZE_ADDRESS__)

TEST(EmulationDeathTest, SanitizersNameTheThread) {
  const emulation::Scope scope({.threads = 1});
  const auto dies = [](EmulationRun run, const std::string& name, const std::string& what) {
    const std::string line = lines("HERE " + name).at(0);
    EXPECT_DEATH(results(run), what + "(.|\n)*" + line +
                                   "(.|\n)*emulation: in kernel emulation_test, block \\(0,0,0\\) "
                                   "thread \\([0-9]+,0,0\\)");
  };
  dies(kernel.behind_global, "behind_global", "AddressSanitizer: heap-buffer-overflow");
  dies(kernel.before_global, "before_global", "AddressSanitizer: heap-buffer-overflow");
  dies(kernel.behind_shared, "behind_shared", "AddressSanitizer: use-after-poison");
  dies(kernel.behind_dynamic, "behind_dynamic", "AddressSanitizer: use-after-poison");
  dies(kernel.misaligned, "misaligned", "misaligned address");
}

#endif

}  // namespace
}  // namespace kinema::test
