// labels: emulated
#include "tests/async_misuse_device_test.h"
#include "kernels/device/emulation/emulation.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

namespace emulation = kernels::device::emulation;
using emulation::Schedule;

/// Each mistake ends the launch in every schedule, by a sentence that names place and reason. The
/// race detector may see a race before that.
TEST(AsyncMisuse, EveryMistakeEndsInAReport) {
  const std::shared_ptr<void> memory(emulation::allocate(4096), emulation::release);
  for (int i = 0; i < async_misuses_emulated.count; ++i) {
    const Misuse& m = async_misuses_emulated.first[i];
    for (Schedule schedule : {Schedule::warp, Schedule::backward, Schedule::prio}) {
      const emulation::Scope scope({.schedule = schedule});
      const std::string report = refusal_of([&] { m.run({}, memory.get()); });
      const bool race = emulation::watches_races() && report.find(" race") != std::string::npos;
      EXPECT_TRUE(race || report.find(m.report) != std::string::npos) << m.name << ": " << report;
      EXPECT_NE(report.find(" at async_misuse_device_test.cu:"), std::string::npos)
          << m.name << ": " << report;
    }
  }
}

}  // namespace
}  // namespace kinema::test
