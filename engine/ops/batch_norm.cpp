#include "engine/ops/batch_norm.h"
#include "engine/autograd.h"
#include "engine/recompute.h"
#include "engine/served.h"
#include "kernels/batch_norm/batch_norm.h"

namespace kinema::engine {

namespace {

/// Where the gradient of input `i` goes, if it is wanted.
kernels::BatchNormTarget target(Gradients& to, int i) {
  if (!to.wants(i)) return {};
  const Target t = to.target(i);
  return {t.view(), t.accumulate};
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNormWeights& weights, bool training,
                  const BatchNormOptions& options, const BatchNormExtras& extras) {
  check(!wants_grad(weights.running_mean) && !wants_grad(weights.running_var),
        "batch_norm: running statistics take no gradient");
  // A forward pass that is run again has moved the running statistics already.
  const bool again = training && recomputing();
  const Tensor running_mean = again ? empty_like(weights.running_mean) : weights.running_mean,
               running_var = again ? empty_like(weights.running_var) : weights.running_var;
  const kernels::BatchNormParameters p{weights.gamma.view(), weights.beta.view(),
                                       running_mean.view(), running_var.view()};
  const kernels::BatchNormEpilogue epilogue{extras.residual.view(), extras.relu};
  const Tensor y = extras.out ? extras.out.detach() : empty_like(x);
  kernels::check_batch_norm(options, x.view(), p, epilogue, y.view(), training);

  const Served<kernels::BatchNorm> op("batch_norm", kernels::batch_norm, x.device());
  const Shape channels{x.shape(-1)};
  const Tensor mean = empty(channels, kernels::wide_of(x.dtype()), x.device());
  const Tensor rstd = empty_like(mean);
  const auto forward =
      training ? &kernels::BatchNorm::train_forward : &kernels::BatchNorm::infer_forward;
  op.run(forward, x.stream(), options, x.view(), p, epilogue, y.view(), {mean.view(), rstd.view()});

  const auto grad = training ? &kernels::BatchNorm::train_grad : &kernels::BatchNorm::infer_grad;
  const bool relu = extras.relu, needs_y = relu && extras.residual;
  auto rule = [op, grad, relu, mean, rstd, x = x.detach(), gamma = weights.gamma.detach(),
               beta = weights.beta.detach(),
               y = needs_y ? y : Tensor{}](const Tensor& dy, Gradients& to) {
    const kernels::BatchNormKept kept{x.view(),    gamma.view(), beta.view(), mean.view(),
                                      rstd.view(), y.view(),     relu};
    kernels::BatchNormTargets targets{target(to, 0), target(to, 1), target(to, 2), {}};
    if (relu) {
      targets.dresidual = target(to, 3);
    } else {
      to.pass(3, dy);
    }
    op.run(grad, dy.stream(), kept, dy.view(), targets);
  };
  return record("batch_norm", y, {x, weights.gamma, weights.beta, extras.residual}, rule);
}

void batch_statistics(const Tensor& x, const Tensor& mean, const Tensor& var) {
  kernels::check_batch_norm_statistics(x.view(), mean.view(), var.view());
  const Served<kernels::BatchNorm> op("batch_norm", kernels::batch_norm, x.device());
  op.run(&kernels::BatchNorm::statistics, x.stream(), x.view(), mean.view(), var.view());
}

}  // namespace kinema::engine
