#include <cstdio>
#include <cstdlib>
#include "tests/support/device_check.h"

namespace kinema::test {

const std::vector<DeviceRun>& device_runs() {
  static const std::vector<DeviceRun> one = [] {
    const kernels::Runtime& r = kernels::runtime_cuda;
    if (r.devices() < 1) {  // asked before main(), where nobody would catch an Error
      std::fprintf(stderr, "gpu_tests: %s\n", r.missing().c_str());
      std::exit(1);
    }
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
