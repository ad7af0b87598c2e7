// labels: emulated
#include "tests/emulation_device_test.h"
#include <fstream>
#include "kernels/device/emulation/emulation.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

namespace emulation = kernels::device::emulation;
using emulation::Schedule;

const EmulationKernels& kernel = emulation_kernels_emulated;
constexpr Schedule schedules[] = {Schedule::warp, Schedule::backward, Schedule::prio};

/// What `run` makes of `count` ints, all bits set before.
std::vector<int> results(EmulationRun run, int64_t count = 64) {
  const std::shared_ptr<void> memory(emulation::allocate(count * 4), emulation::release);
  auto* ints = static_cast<int*>(memory.get());
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
void expect_race(EmulationRun run, const std::string& name, const std::string& text) {
  for (Schedule schedule : schedules) {
    const emulation::Scope scope({.schedule = schedule});
    const std::string report = refusal_of([&] { results(run); });
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

}  // namespace
}  // namespace kinema::test
