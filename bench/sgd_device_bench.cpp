#include "bench/support/device_bench.h"
#include "kernels/sgd/sgd.h"
#include "kernels/sgd/sgd_cases.h"

namespace kinema::bench {

namespace {

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::sgd_cases) {
    if (!wanted(s, c.tag)) continue;
    for (bool copies : {false, true}) {
      const int64_t f32 = bytes_of(c.w, Dtype::f32), half = bytes_of(c.w, Dtype::bf16);
      all.push_back({.name = std::string("sgd.step ") + (copies ? "with a bf16 copy " : "") +
                             describe(Dtype::f32, c.w),
                     .floor_bytes = 5 * f32 + (copies ? half : 0),
                     .make = [=](Memory& m) -> Work {
                       const View w = m.random(c.w, Dtype::f32), g = m.random(c.w, Dtype::f32),
                                  v = m.random(c.w, Dtype::f32),
                                  working = copies ? m.empty(c.w, Dtype::bf16) : View{};
                       return [=](Stream stream) {
                         device_op(s, &kernels::sgd_cuda, &kernels::sgd_emulated)
                             .step(stream, {.rate = 1e-3, .momentum = 0.9, .weight_decay = 1e-4}, w,
                                   g, v, false, working);
                       };
                     }});
    }
  }
  return all;
}

}  // namespace

extern const DeviceBench sgd_device_bench;
const DeviceBench sgd_device_bench = {cases};

}  // namespace kinema::bench
