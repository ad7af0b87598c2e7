#include "tests/tensor_map_device_test.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

/// Calls f(refusals, limits, memory) on each device that has tensor maps.
template <class F>
void on_each_device(F f) {
  for (const DeviceRun& run : device_runs()) {
    const std::shared_ptr<void> scope = run.enter();
    const std::shared_ptr<void> memory(run.runtime->allocate(4096), run.runtime->release);
    const bool cuda = run.backend == Backend::cuda;
    f(cuda ? map_refusals_cuda : map_refusals_emulated,
      cuda ? map_limits_cuda : map_limits_emulated, memory.get(),
      run.runtime->gpu().compute_capability >= 90);
  }
}

TEST(TensorMap, EachLimitIsRefusedByItsSentence) {
  on_each_device([](MapRefusals refusals, MapLimits, void* memory, bool has_maps) {
    for (const auto& [got, expected] : refusals(memory))
      EXPECT_EQ(got.find(has_maps ? "tensor map: " + expected
                                  : "tensor map: expected compute capability 9.0, got "),
                0u)
          << got << "\nexpected: " << expected;
  });
}

TEST(TensorMap, WhatLiesAtTheLimitsIsTaken) {
  on_each_device([](MapRefusals, MapLimits limits, void* memory, bool has_maps) {
    if (has_maps) limits(memory);
  });
}

}  // namespace
}  // namespace kinema::test
