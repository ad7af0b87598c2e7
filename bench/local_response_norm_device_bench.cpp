#include "bench/support/device_bench.h"
#include "kernels/local_response_norm/local_response_norm.h"
#include "kernels/local_response_norm/local_response_norm_cases.h"

namespace kinema::bench {

namespace {

using kernels::LocalResponseNormCase;

const kernels::LocalResponseNorm& op(const Settings& s) {
  return device_op(s, &kernels::local_response_norm_cuda, &kernels::local_response_norm_emulated);
}

Case forward(const Settings& s, const LocalResponseNormCase& c, Dtype type) {
  return {.name = "local_response_norm.forward " + describe(type, c.x),
          .floor_bytes = 2 * bytes_of(c.x, type),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(c.x, type), y = m.empty(c.x, type);
            return [=](Stream stream) { op(s).forward(stream, c.options, x, y); };
          }};
}

Case grad(const Settings& s, const LocalResponseNormCase& c, Dtype type) {
  return {.name = "local_response_norm.grad " + describe(type, c.x),
          .floor_bytes = 3 * bytes_of(c.x, type),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(c.x, type), dy = m.random(c.x, type), dx = m.empty(c.x, type);
            return [=](Stream stream) { op(s).grad(stream, c.options, x, dy, dx, false); };
          }};
}

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const LocalResponseNormCase& c : kernels::local_response_norm_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16}) {
      all.push_back(forward(s, c, type));
      all.push_back(grad(s, c, type));
    }
  }
  return all;
}

}  // namespace

extern const DeviceBench local_response_norm_device_bench;
const DeviceBench local_response_norm_device_bench = {cases};

}  // namespace kinema::bench
