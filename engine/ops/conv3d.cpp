#include "engine/ops/conv3d.h"
#include "engine/autograd.h"
#include "engine/math_mode.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"
#include "engine/served.h"
#include "kernels/conv3d/conv3d.h"

namespace kinema::engine {

namespace {

Work work_of(const Shape& y, const Tensor& w, const Conv3dOptions& o) {
  Work work;
  work.macs = y.size() * w.shape(1) * w.shape(2) * w.shape(3) * w.shape(4);
  for (int a = 0; a < 3; ++a) {
    work.window.size[size_t(a)] = (w.shape(1 + a) - 1) * o.dilation[size_t(a)] + 1;
    work.window.stride[size_t(a)] = o.stride[size_t(a)];
  }
  return work;
}

}  // namespace

Tensor conv3d(const Tensor& x, const Tensor& w, const Conv3dOptions& asked,
              const Conv3dExtras& extras) {
  Conv3dOptions options = asked;
  options.tf32 = x.dtype() == Dtype::f32 && (asked.tf32 || tf32_mode());
  const Shape shape = kernels::conv3d_output(options, x.shape(), w.shape());
  check(!wants_grad(extras.scale) && !wants_grad(extras.shift),
        "conv3d: scale and shift are constants, got parameters; use batch_norm to train them");
  const bool taped = grad_mode() && (wants_grad(x) || wants_grad(w) || wants_grad(extras.bias) ||
                                     wants_grad(extras.residual));
  check(!taped || !extras.scale,
        "conv3d: scale is for inference; run it under NoGrad, or use batch_norm to train");
  const kernels::Conv3dEpilogue epilogue{.bias = extras.bias.view(),
                                         .scale = extras.scale.view(),
                                         .shift = extras.shift.view(),
                                         .residual = extras.residual.view(),
                                         .relu = extras.relu};
  Tensor y = extras.out ? extras.out.detach() : empty(shape, x.dtype(), x.device());
  kernels::check_conv3d(options, x.view(), w.view(), y.view(), epilogue);
  const Served<kernels::Conv3d> op("conv3d", kernels::conv3d, x.device());
  op.run(&kernels::Conv3d::forward, x.stream(), options, x.view(), w.view(), y.view(), epilogue);
  // The mask of the ReLU is read off y, and x is read for dw alone: no more is kept than is used.
  const Tensor mask = extras.relu ? y.detach() : Tensor{};
  return record(
      "conv3d", y, {x, w, extras.bias, extras.residual},
      [x = wants_grad(w) ? x.detach() : Tensor{}, w = w.detach(), mask, options, op](
          const Tensor& dy, Gradients& to) {
        const Tensor dz = mask ? through_relu(mask, dy) : dy;
        if (to.wants(0)) {
          const Target dx = to.target(0);
          op.run(&kernels::Conv3d::grad_input, dz.stream(), options, dz.view(), w.view(), dx.view(),
                 {.accumulate = dx.accumulate});
        }
        if (to.wants(1)) {
          const Target dw = to.target(1);
          op.run(&kernels::Conv3d::grad_weight, dz.stream(), options, x.view(), dz.view(),
                 dw.view(), dw.accumulate);
        }
        if (to.wants(2)) {
          const Target db = to.target(2);
          op.run(&kernels::Conv3d::grad_bias, dz.stream(), dz.view(), db.view(), db.accumulate);
        }
        to.pass(3, dz);
      },
      work_of(shape, w, options));
}

}  // namespace kinema::engine
