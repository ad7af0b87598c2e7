#include "tests/support/device_check.h"

namespace kinema::test {

const std::vector<DeviceRun>& device_runs() {
  static const std::vector<DeviceRun> one = [] {
    const kernels::Runtime& r = kernels::runtime_cuda;
    kernels::check(r.devices() > 0, "gpu_tests: ", r.missing());
    return std::vector<DeviceRun>{{.name = r.gpu().name,
                                   .backend = Backend::cuda,
                                   .runtime = &r,
                                   .group = "gpu",
                                   .enter = [] { return nullptr; }}};
  }();
  return one;
}

std::vector<DeviceRun> random_runs(int) { return {}; }

bool small() { return false; }

std::optional<Traffic> traffic(const std::function<void()>&) { return std::nullopt; }

int64_t bank_conflicts(const std::function<void()>& work) {
  work();
  return 0;
}

}  // namespace kinema::test
