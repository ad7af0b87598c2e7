#include "engine/ops/pool3d.h"
#include "engine/autograd.h"
#include "engine/served.h"
#include "kernels/pool3d/pool3d.h"

namespace kinema::engine {

namespace {

Served<kernels::Pool3d> op_for(const Tensor& x) { return {"pool3d", kernels::pool3d, x.device()}; }

/// `out` if given, else fresh memory; checked against x, on the meta device too.
Tensor output(const Tensor& x, const Pool3dOptions& options, const Tensor& out) {
  const Shape shape = kernels::pool3d_output(options, x.shape());
  const Tensor y = out ? out.detach() : empty(shape, x.dtype(), x.device());
  kernels::check_pool3d(options, x.view(), y.view());
  return y;
}

Work work(const Pool3dOptions& options) {
  return {.window = {.size = options.kernel, .stride = options.step()}};
}

}  // namespace

Tensor max_pool3d(const Tensor& x, const Pool3dOptions& options, const Tensor& out) {
  const Tensor y = output(x, options, out);
  const auto op = op_for(x);
  Tensor taps;
  if (wants_grad(x) && grad_mode())
    taps = empty(y.shape(), kernels::pool3d_taps(options), x.device());
  op.run(&kernels::Pool3d::max_forward, x.stream(), options, x.view(), y.view(), taps.view());
  auto rule = [op, options, taps](const Tensor& dy, Gradients& to) {
    const Target dx = to.target(0);
    op.run(&kernels::Pool3d::max_grad, dy.stream(), options, dy.view(), taps.view(), dx.view(),
           dx.accumulate);
  };
  return record("max_pool3d", y, {x}, rule, work(options));
}

Tensor average_pool3d(const Tensor& x, const Pool3dOptions& options, const Tensor& out) {
  const Tensor y = output(x, options, out);
  const auto op = op_for(x);
  op.run(&kernels::Pool3d::average_forward, x.stream(), options, x.view(), y.view());
  auto rule = [op, options](const Tensor& dy, Gradients& to) {
    const Target dx = to.target(0);
    op.run(&kernels::Pool3d::average_grad, dy.stream(), options, dy.view(), dx.view(),
           dx.accumulate);
  };
  return record("average_pool3d", y, {x}, rule, work(options));
}

}  // namespace kinema::engine
