#include "kernels/device/emulation/emulation.h"
#include "tests/support/device_check.h"

namespace kinema::test {

namespace {

namespace emulation = kernels::device::emulation;
using emulation::Schedule;

DeviceRun run(const std::string& name, const emulation::Settings& settings) {
  return {.name = name,
          .backend = Backend::emulated,
          .runtime = &kernels::runtime_emulated,
          .group = settings.gpu.name,
          .enter = [settings] { return std::make_shared<emulation::Scope>(settings); }};
}

}  // namespace

const std::vector<DeviceRun>& device_runs() {
  static const std::vector<DeviceRun> watched = {run("warp by warp", {})};
  static const std::vector<DeviceRun> all = {
      run("warp by warp", {}),
      run("the last warp first", {.schedule = Schedule::backward}),
      run("random priorities", {.schedule = Schedule::prio}),
      run("little shared memory", {.gpu = kernels::small_shared_memory}),
      run("an H200", {.gpu = kernels::h200}),
  };
  return small() ? watched : all;
}

std::vector<DeviceRun> random_runs(int count) {
  std::vector<DeviceRun> runs;
  for (int i = 0; i < count; ++i)
    runs.push_back(run("random priorities " + std::to_string(i + 2),
                       {.schedule = Schedule::prio, .seed = uint64_t(i + 2)}));
  return runs;
}

bool small() { return emulation::watches_races(); }

std::optional<Traffic> traffic(const std::function<void()>& work) {
  if (!emulation::watches_races()) return std::nullopt;
  emulation::forget_launches();
  work();
  Traffic sum;
  for (const emulation::Launches& l : emulation::launches()) {
    sum.read += l.bytes_read;
    sum.written += l.bytes_written;
  }
  return sum;
}

int64_t bank_conflicts(const std::function<void()>& work) {
  emulation::forget_launches();
  work();
  int64_t sum = 0;
  for (const emulation::Launches& l : emulation::launches()) sum += l.bank_conflicts;
  return sum;
}

}  // namespace kinema::test
