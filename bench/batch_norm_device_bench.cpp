#include "bench/support/device_bench.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/batch_norm/batch_norm_cases.h"

namespace kinema::bench {

namespace {

/// The numbers of each channel.
struct Channels {
  Channels(Memory& m, const Shape& shape)
      : gamma(m.random({shape[-1]}, Dtype::f32)),
        beta(m.random({shape[-1]}, Dtype::f32)),
        mean(m.random({shape[-1]}, Dtype::f32)),
        rstd(m.random({shape[-1]}, Dtype::f32)),
        running_mean(m.random({shape[-1]}, Dtype::f32)),
        running_var(m.random({shape[-1]}, Dtype::f32)),
        dgamma(m.empty({shape[-1]}, Dtype::f32)),
        dbeta(m.empty({shape[-1]}, Dtype::f32)) {}
  View gamma, beta, mean, rstd, running_mean, running_var, dgamma, dbeta;
};

const kernels::BatchNorm& op(const Settings& s) {
  return device_op(s, &kernels::batch_norm_cuda, &kernels::batch_norm_emulated);
}

/// With the residual and the ReLU that end a block of a residual network. Floors count what the
/// contract says is read twice.
Case forward(const Settings& s, const Shape& shape, Dtype type, bool training) {
  const char* const pass = training ? "batch_norm.train_forward " : "batch_norm.infer_forward ";
  return {.name = pass + describe(type, shape),
          .floor_bytes = (training ? 4 : 3) * bytes_of(shape, type),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(shape, type), residual = m.random(shape, type),
                       y = m.empty(shape, type);
            const Channels c(m, shape);
            return [=](Stream stream) {
              const auto run = training ? op(s).train_forward : op(s).infer_forward;
              run(stream, {}, x, {c.gamma, c.beta, c.running_mean, c.running_var}, {residual, true},
                  y, {c.mean, c.rstd});
            };
          }};
}

/// Under a ReLU, which is computed again from x.
Case grad(const Settings& s, const Shape& shape, Dtype type) {
  return {.name = "batch_norm.train_grad " + describe(type, shape),
          .floor_bytes = 5 * bytes_of(shape, type),
          .make = [=](Memory& m) -> Work {
            const View x = m.random(shape, type), dy = m.random(shape, type),
                       dx = m.empty(shape, type);
            const Channels c(m, shape);
            return [=](Stream stream) {
              op(s).train_grad(stream, {x, c.gamma, c.beta, c.mean, c.rstd, {}, true}, dy,
                               {{dx}, {c.dgamma}, {c.dbeta}, {}});
            };
          }};
}

std::vector<Case> cases(const Settings& s) {
  std::vector<Case> all;
  for (const auto& c : kernels::batch_norm_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16}) {
      all.push_back(forward(s, c.x, type, true));
      all.push_back(forward(s, c.x, type, false));
      all.push_back(grad(s, c.x, type));
    }
  }
  return all;
}

}  // namespace

extern const DeviceBench batch_norm_device_bench;
const DeviceBench batch_norm_device_bench = {cases};

}  // namespace kinema::bench
