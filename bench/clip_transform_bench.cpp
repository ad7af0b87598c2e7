#include "bench/support/bench.h"
#include "kernels/clip_transform/clip_transform.h"
#include "kernels/clip_transform/clip_transform_cases.h"

using namespace kinema;

namespace {
/// Bytes of the windows read once and of the clip written once.
double floor_bytes(const kernels::ClipTransformCase& c) {
  double pixels = 0;
  for (const kernels::ClipPlan& p : plans_of(c))
    pixels += double(p.scales() ? p.height * p.width : c.height * c.width);
  return double(c.frames[1]) * (3 * pixels + 12 * double(c.frames[0]) * double(c.height * c.width));
}
}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::clip_transform_cases) {
    if (std::string(c.tag) != "full") continue;
    const engine::Tensor frames = engine::full(c.frames, 0, kernels::Dtype::u8),
                         clip = engine::empty({c.frames[0], c.frames[1], c.height, c.width, 3});
    uint32_t noise = 1;
    for (int64_t i = 0; i < kernels::span(frames.view()); ++i)
      engine::data<uint8_t>(frames)[i] = uint8_t((noise = noise * 1664525u + 1013904223u) >> 24);
    const auto plans = plans_of(c);
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::clip_transform(b);
      bench::add(bench::name("clip_transform.forward", b, c.what), floor_bytes(c), 0, [=] {
        op.forward({}, {.deviation = {0.25, 0.25, 0.25}}, plans, frames.view(), clip.view());
      });
    }
  }
  return bench::run(argc, argv);
}
