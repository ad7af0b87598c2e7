#include "engine/ops/sigmoid_cross_entropy.h"
#include "engine/autograd.h"
#include "engine/served.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"

namespace kinema::engine {

namespace {
Served<kernels::SigmoidCrossEntropy> op_for(const Tensor& t) {
  return {"sigmoid_cross_entropy", kernels::sigmoid_cross_entropy, t.device()};
}
}  // namespace

Tensor sigmoid_cross_entropy(const Tensor& logits, const Tensor& targets,
                             const SigmoidCrossEntropyOptions& options) {
  Tensor loss = empty({1}, kernels::wide_of(logits.dtype()), logits.device());
  op_for(logits).run(&kernels::SigmoidCrossEntropy::forward, logits.stream(), options,
                     logits.view(), targets.view(), loss.view());
  auto rule = [x = logits.detach(), t = targets.detach(), options](const Tensor& dy,
                                                                   Gradients& to) {
    if (!to.wants(0)) return;
    const Target d = to.target(0);
    op_for(x).run(&kernels::SigmoidCrossEntropy::grad, x.stream(), options, x.view(), t.view(),
                  dy.view(), d.view(), d.accumulate);
  };
  return record("sigmoid_cross_entropy", loss, {logits}, rule);
}

}  // namespace kinema::engine
