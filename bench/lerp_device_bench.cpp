#include "bench/support/device_bench.h"
#include "kernels/lerp/lerp.h"
#include "kernels/lerp/lerp_cases.h"

namespace kinema::bench {

namespace {

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::lerp_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16})
      all.push_back(
          {.name = "lerp.towards " + describe(type, c.x),
           .floor_bytes = 3 * bytes_of(c.x, type),
           .make = [=](Memory& m) -> Work {
             const View x = m.random(c.x, type), y = m.random(c.x, type),
                        t = m.random({1}, Dtype::f64);
             return [=](Stream stream) {
               device_op(s, &kernels::lerp_cuda, &kernels::lerp_emulated).towards(stream, t, x, y);
             };
           }});
  }
  return all;
}

}  // namespace

extern const DeviceBench lerp_device_bench;
const DeviceBench lerp_device_bench = {cases};

}  // namespace kinema::bench
