#include "engine/ops/local_response_norm.h"
#include "engine/autograd.h"
#include "engine/policy.h"
#include "kernels/local_response_norm/local_response_norm.h"

namespace kinema::engine {

Tensor local_response_norm(const Tensor& x, const LocalResponseNormOptions& options) {
  const auto& op = kernels::local_response_norm(backend_for("local_response_norm", x.device()));
  Tensor y = empty_like(x);
  kernels::check_local_response_norm(options, x.view(), y.view());
  op.forward(x.stream(), options, x.view(), y.view());
  return record("local_response_norm", y, {x},
                [x = x.detach(), options, &op](const Tensor& dy, Gradients& to) {
                  if (!to.wants(0)) return;
                  const Target dx = to.target(0);
                  op.grad(dy.stream(), options, x.view(), dy.view(), dx.view(), dx.accumulate);
                });
}

}  // namespace kinema::engine
