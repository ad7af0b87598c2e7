#include "engine/ops/local_response_norm.h"
#include "engine/autograd.h"
#include "engine/served.h"
#include "kernels/local_response_norm/local_response_norm.h"

namespace kinema::engine {

Tensor local_response_norm(const Tensor& x, const LocalResponseNormOptions& options) {
  const Served<kernels::LocalResponseNorm> op("local_response_norm", kernels::local_response_norm,
                                              x.device());
  Tensor y = empty_like(x);
  kernels::check_local_response_norm(options, x.view(), y.view());
  op.run(&kernels::LocalResponseNorm::forward, x.stream(), options, x.view(), y.view());
  return record("local_response_norm", y, {x},
                [x = x.detach(), options, op](const Tensor& dy, Gradients& to) {
                  if (!to.wants(0)) return;
                  const Target dx = to.target(0);
                  op.run(&kernels::LocalResponseNorm::grad, dy.stream(), options, x.view(),
                         dy.view(), dx.view(), dx.accumulate);
                });
}

}  // namespace kinema::engine
