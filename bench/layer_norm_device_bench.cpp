#include "bench/support/device_bench.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/layer_norm/layer_norm_cases.h"

namespace kinema::bench {

namespace {

Case forward(const Settings& s, const Shape& shape, Dtype type) {
  return {.name = "layer_norm.forward " + describe(type, shape),
          .floor_bytes = 2 * bytes_of(shape, type),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(shape, type), y = m.empty(shape, type);
            const View gamma = m.random({shape[-1]}, Dtype::f32),
                       beta = m.random({shape[-1]}, Dtype::f32);
            const Shape rows{kernels::layer_norm_rows(x)};
            const View mean = m.empty(rows, Dtype::f32), rstd = m.empty(rows, Dtype::f32);
            return [=](Stream stream) {
              device_op(s, &kernels::layer_norm_cuda, &kernels::layer_norm_emulated)
                  .forward(stream, {}, x, {gamma, beta}, y, {mean, rstd});
            };
          }};
}

Case grad(const Settings& s, const Shape& shape, Dtype type) {
  return {.name = "layer_norm.grad " + describe(type, shape),
          .floor_bytes = 3 * bytes_of(shape, type),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(shape, type), dy = m.random(shape, type),
                       dx = m.empty(shape, type);
            const View gamma = m.random({shape[-1]}, Dtype::f32),
                       dgamma = m.empty({shape[-1]}, Dtype::f32),
                       dbeta = m.empty({shape[-1]}, Dtype::f32);
            const Shape rows{kernels::layer_norm_rows(x)};
            const View mean = m.random(rows, Dtype::f32), rstd = m.random(rows, Dtype::f32);
            return [=](Stream stream) {
              device_op(s, &kernels::layer_norm_cuda, &kernels::layer_norm_emulated)
                  .grad(stream, {x, gamma, mean, rstd}, dy, {{dx}, {dgamma}, {dbeta}});
            };
          }};
}

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::layer_norm_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16}) {
      all.push_back(forward(s, c.x, type));
      all.push_back(grad(s, c.x, type));
    }
  }
  return all;
}

}  // namespace

extern const DeviceBench layer_norm_device_bench;
const DeviceBench layer_norm_device_bench = {cases};

}  // namespace kinema::bench
