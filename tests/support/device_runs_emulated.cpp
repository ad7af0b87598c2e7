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

}  // namespace kinema::test
