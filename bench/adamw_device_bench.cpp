#include "bench/support/device_bench.h"
#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_cases.h"

namespace kinema::bench {

namespace {

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::adamw_cases) {
    if (!wanted(s, c.tag)) continue;
    for (bool copies : {false, true}) {
      const int64_t f32 = bytes_of(c.w, Dtype::f32), half = bytes_of(c.w, Dtype::bf16);
      all.push_back({.name = std::string("adamw.step ") + (copies ? "with a bf16 copy " : "") +
                             describe(Dtype::f32, c.w),
                     .floor_bytes = 7 * f32 + (copies ? half : 0),
                     .make = [=](Memory& memory) -> Work {
                       const View w = memory.random(c.w, Dtype::f32),
                                  g = memory.random(c.w, Dtype::f32),
                                  m = memory.random(c.w, Dtype::f32),
                                  v = memory.labels(c.w, Dtype::f32, 100),
                                  working = copies ? memory.empty(c.w, Dtype::bf16) : View{};
                       return [=](Stream stream) {
                         device_op(s, &kernels::adamw_cuda, &kernels::adamw_emulated)
                             .step(stream, {}, 100, w, g, m, v, working);
                       };
                     }});
    }
  }
  return all;
}

}  // namespace

extern const DeviceBench adamw_device_bench;
const DeviceBench adamw_device_bench = {cases};

}  // namespace kinema::bench
