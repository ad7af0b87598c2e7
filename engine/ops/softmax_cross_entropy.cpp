#include "engine/ops/softmax_cross_entropy.h"
#include "engine/autograd.h"
#include "engine/served.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace kinema::engine {

namespace {
Served<kernels::SoftmaxCrossEntropy> op_for(const Tensor& t) {
  return {"softmax_cross_entropy", kernels::softmax_cross_entropy, t.device()};
}
}  // namespace

Tensor softmax_cross_entropy(const Tensor& logits, const Tensor& labels,
                             const SoftmaxCrossEntropyOptions& options) {
  Tensor loss = empty({1}, kernels::wide_of(logits.dtype()), logits.device());
  kernels::check_softmax_cross_entropy(options, logits.view(), labels.view(), loss.view());
  const bool taped = wants_grad(logits) && grad_mode();
  const Tensor p = taped ? empty(logits.shape(), loss.dtype(), logits.device()) : Tensor{};
  op_for(logits).run(&kernels::SoftmaxCrossEntropy::forward, logits.stream(), options,
                     logits.view(), labels.view(), loss.view(), p.view());
  auto rule = [p, labels = labels.detach(), options](const Tensor& dy, Gradients& to) {
    if (!to.wants(0)) return;
    const Target d = to.target(0);
    op_for(p).run(&kernels::SoftmaxCrossEntropy::grad, p.stream(), options, p.view(), labels.view(),
                  dy.view(), d.view(), d.accumulate);
  };
  return record("softmax_cross_entropy", loss, {logits}, rule);
}

Tensor softmax(const Tensor& x) {
  check(!wants_grad(x) || !grad_mode(),
        "softmax: has no gradient; run it under NoGrad or on a detached tensor");
  Tensor p = empty(x.shape(), kernels::wide_of(x.dtype()), x.device());
  kernels::check_softmax(x.view(), p.view());
  op_for(x).run(&kernels::SoftmaxCrossEntropy::softmax, x.stream(), x.view(), p.view());
  return record("softmax", p, {x}, nullptr);
}

}  // namespace kinema::engine
