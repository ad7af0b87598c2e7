#include "bench/support/device_bench.h"
#include "kernels/clip_transform/clip_transform.h"
#include "kernels/clip_transform/clip_transform_cases.h"

namespace kinema::bench {

namespace {

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::clip_transform_cases) {
    if (!wanted(s, c.tag)) continue;
    const std::vector<kernels::ClipPlan> plans = plans_of(c);
    const Shape clip = {c.frames[0], c.frames[1], c.height, c.width, 3};
    int64_t window = 0;  // pixels of one frame of every clip
    for (const kernels::ClipPlan& p : plans)
      window += p.scales() ? p.height * p.width : c.height * c.width;
    for (Dtype type : {Dtype::f32, Dtype::bf16})
      all.push_back(
          {.name = "clip_transform.forward " + std::string(c.what) + " " + describe(type, clip),
           .floor_bytes = 3 * window * c.frames[1] + bytes_of(clip, type),
           .make = [=](Memory& m) -> Work {
             const View from = m.labels(c.frames, Dtype::u8, 256), to = m.empty(clip, type);
             return [=](Stream stream) {
               device_op(s, &kernels::clip_transform_cuda, &kernels::clip_transform_emulated)
                   .forward(stream, {}, plans, from, to);
             };
           }});
  }
  return all;
}

}  // namespace

extern const DeviceBench clip_transform_device_bench;
const DeviceBench clip_transform_device_bench = {cases};

}  // namespace kinema::bench
