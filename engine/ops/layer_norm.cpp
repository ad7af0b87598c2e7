#include "engine/ops/layer_norm.h"
#include "engine/autograd.h"
#include "engine/served.h"
#include "kernels/layer_norm/layer_norm.h"

namespace kinema::engine {

namespace {

/// Where the gradient of input `i` goes, if it is wanted.
kernels::LayerNormTarget target(Gradients& to, int i) {
  if (!to.wants(i)) return {};
  const Target t = to.target(i);
  return {t.view(), t.accumulate};
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const LayerNormOptions& options) {
  const Served<kernels::LayerNorm> op("layer_norm", kernels::layer_norm, x.device());
  const Tensor y = empty_like(x);
  const Tensor mean =
      empty({kernels::layer_norm_rows(x.view())}, kernels::wide_of(x.dtype()), x.device());
  const Tensor rstd = empty_like(mean);
  const kernels::LayerNormParameters p{gamma.view(), beta.view()};
  kernels::check_layer_norm(options, x.view(), p, y.view(), {mean.view(), rstd.view()});
  op.run(&kernels::LayerNorm::forward, x.stream(), options, x.view(), p, y.view(),
         {mean.view(), rstd.view()});
  auto rule = [op, mean, rstd, x = x.detach(), gamma = gamma.detach()](const Tensor& dy,
                                                                       Gradients& to) {
    op.run(&kernels::LayerNorm::grad, dy.stream(),
           {x.view(), gamma.view(), mean.view(), rstd.view()}, dy.view(),
           {target(to, 0), target(to, 1), target(to, 2)});
  };
  return record("layer_norm", y, {x, gamma, beta}, rule);
}

}  // namespace kinema::engine
