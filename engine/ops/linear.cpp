#include "engine/ops/linear.h"
#include "engine/autograd.h"
#include "engine/math_mode.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/views.h"
#include "engine/served.h"
#include "kernels/linear/linear.h"

namespace kinema::engine {

namespace {

/// x [rows,in].
Tensor linear_rows(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu,
                   const LinearOptions& o) {
  Tensor y = empty(kernels::linear_output(x.shape(), w.shape()), x.dtype(), x.device());
  const kernels::LinearEpilogue epilogue{.bias = bias.view(), .relu = relu};
  kernels::check_linear(x.view(), w.view(), y.view(), epilogue);
  const Served<kernels::Linear> op("linear", kernels::linear, x.device());
  op.run(&kernels::Linear::forward, x.stream(), o, x.view(), w.view(), y.view(), epilogue);
  // The mask of the ReLU is read off y, and x is read for dw alone: no more is kept than is used.
  auto rule = [x = wants_grad(w) ? x.detach() : Tensor{}, w = w.detach(),
               mask = relu ? y.detach() : Tensor{}, op, o](const Tensor& dy, Gradients& to) {
    const Tensor dz = mask ? through_relu(mask, dy) : dy;
    if (to.wants(0)) {
      const Target dx = to.target(0);
      op.run(&kernels::Linear::grad_input, dz.stream(), o, dz.view(), w.view(), dx.view(),
             dx.accumulate);
    }
    if (to.wants(1)) {
      const Target dw = to.target(1);
      op.run(&kernels::Linear::grad_weight, dz.stream(), o, x.view(), dz.view(), dw.view(),
             dw.accumulate);
    }
    if (to.wants(2)) {
      const Target db = to.target(2);
      op.run(&kernels::Linear::grad_bias, dz.stream(), dz.view(), db.view(), db.accumulate);
    }
  };
  return record("linear", y, {x, w, bias}, rule, {.macs = x.size() * w.shape(0), .window = {}});
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, bool relu,
              const LinearOptions& asked) {
  const LinearOptions o{.tf32 = x.dtype() == Dtype::f32 && (asked.tf32 || tf32_mode())};
  check(x.rank() >= 2, "linear: x must be [...,in] with at least two axes, got ", x.shape());
  if (x.rank() == 2) return linear_rows(x, w, bias, relu, o);
  check(w.rank() == 2 && w.shape(1) == x.shape(-1), "linear: w must be [out,", x.shape(-1),
        "], got ", w.shape(), " for x ", x.shape());
  int64_t rows = 1;
  Shape shape = x.shape();
  for (int a = 0; a < x.rank() - 1; ++a) rows *= x.shape(a);
  shape[-1] = w.shape(0);
  return reshape(linear_rows(reshape(x, {rows, x.shape(-1)}), w, bias, relu, o), shape);
}

}  // namespace kinema::engine
