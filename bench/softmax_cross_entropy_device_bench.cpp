#include "bench/support/device_bench.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy_cases.h"

namespace kinema::bench {

namespace {

/// What every pass of one shape and type takes.
struct Batch {
  Batch(Memory& m, const Shape& shape, Dtype type)
      : x(m.random(shape, type)),
        dlogits(m.empty(shape, type)),
        p(m.random(shape, Dtype::f32)),
        labels(m.labels({shape[0]}, Dtype::i64, shape[1])),
        loss(m.empty({1}, Dtype::f32)),
        dloss(m.random({1}, Dtype::f32)) {}
  View x, dlogits, p, labels, loss, dloss;
};

/// `call` on a batch: bytes are those of an element.
template <class F>
Case pass(const Settings& s, const char* name, const Shape& shape, Dtype type, int64_t bytes,
          const F& call) {
  return {.name = std::string("softmax_cross_entropy.") + name + " " + describe(type, shape),
          .floor_bytes = shape.size() * bytes,
          .make = [=](Memory& m) -> Work {
            const Batch batch(m, shape, type);
            return [=](Stream stream) {
              call(device_op(s, &kernels::softmax_cross_entropy_cuda,
                             &kernels::softmax_cross_entropy_emulated),
                   stream, batch);
            };
          }};
}

std::vector<Case> cases(const Settings& s) {
  using Op = kernels::SoftmaxCrossEntropy;
  std::vector<Case> all;
  for (const auto& c : kernels::softmax_cross_entropy_cases) {
    if (!wanted(s, c.tag)) continue;
    for (Dtype type : {Dtype::f32, Dtype::bf16}) {
      const int64_t size = size_of(type);
      all.push_back(
          pass(s, "forward", c.x, type, size + 4, [](const Op& op, Stream stream, const Batch& b) {
            op.forward(stream, {}, b.x, b.labels, b.loss, b.p);
          }));
      all.push_back(
          pass(s, "grad", c.x, type, 4 + size, [](const Op& op, Stream stream, const Batch& b) {
            op.grad(stream, {}, b.p, b.labels, b.dloss, b.dlogits, false);
          }));
      all.push_back(pass(
          s, "forward_grad", c.x, type, 2 * size, [](const Op& op, Stream stream, const Batch& b) {
            op.forward_grad(stream, {}, b.x, b.labels, b.dloss, b.loss, b.dlogits, false);
          }));
    }
  }
  return all;
}

}  // namespace

extern const DeviceBench softmax_cross_entropy_device_bench;
const DeviceBench softmax_cross_entropy_device_bench = {cases};

}  // namespace kinema::bench
