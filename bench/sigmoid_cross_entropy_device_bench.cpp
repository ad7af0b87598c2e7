#include "bench/support/device_bench.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_cases.h"

namespace kinema::bench {

namespace {

Case forward(const Settings& s, const Shape& shape, Dtype type) {
  return {.name = "sigmoid_cross_entropy.forward " + describe(type, shape),
          .floor_bytes = bytes_of(shape, type) + bytes_of(shape, Dtype::f32),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(shape, type), targets = m.random(shape, Dtype::f32),
                       loss = m.empty({1}, Dtype::f32);
            return [=](Stream stream) {
              device_op(s, &kernels::sigmoid_cross_entropy_cuda,
                        &kernels::sigmoid_cross_entropy_emulated)
                  .forward(stream, {}, x, targets, loss);
            };
          }};
}

Case forward_grad(const Settings& s, const Shape& shape, Dtype type) {
  return {.name = "sigmoid_cross_entropy.forward_grad " + describe(type, shape),
          .floor_bytes = 2 * bytes_of(shape, type) + bytes_of(shape, Dtype::f32),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(shape, type), targets = m.random(shape, Dtype::f32),
                       dloss = m.random({1}, Dtype::f32), loss = m.empty({1}, Dtype::f32),
                       dlogits = m.empty(shape, type);
            return [=](Stream stream) {
              device_op(s, &kernels::sigmoid_cross_entropy_cuda,
                        &kernels::sigmoid_cross_entropy_emulated)
                  .forward_grad(stream, {}, x, targets, dloss, loss, dlogits, false);
            };
          }};
}

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::sigmoid_cross_entropy_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16}) {
      all.push_back(forward(s, c.x, type));
      all.push_back(forward_grad(s, c.x, type));
    }
  }
  return all;
}

}  // namespace

extern const DeviceBench sigmoid_cross_entropy_device_bench;
const DeviceBench sigmoid_cross_entropy_device_bench = {cases};

}  // namespace kinema::bench
