#include "engine/ops/pointwise.h"
#include "engine/autograd.h"
#include "engine/random.h"
#include "engine/served.h"
#include "kernels/pointwise/pointwise.h"

namespace kinema::engine {

namespace {

using kernels::Unary;

Served<kernels::Pointwise> op_for(const Tensor& t) {
  return {"pointwise", kernels::pointwise, t.device()};
}

Tensor unary(Unary u, const Tensor& x) {
  Tensor y = empty_like(x);
  op_for(x).run(&kernels::Pointwise::forward, x.stream(), u, x.view(), y.view());
  return record(name_of(u), y, {x}, [u, y = y.detach()](const Tensor& dy, Gradients& to) {
    if (!to.wants(0)) return;
    const Target dx = to.target(0);
    op_for(y).run(&kernels::Pointwise::grad, y.stream(), u, y.view(), dy.view(), dx.view(),
                  dx.accumulate);
  });
}

}  // namespace

Tensor relu(const Tensor& x) { return unary(Unary::relu, x); }
Tensor sigmoid(const Tensor& x) { return unary(Unary::sigmoid, x); }
Tensor tanh(const Tensor& x) { return unary(Unary::tanh, x); }

Tensor add(const Tensor& a, const Tensor& b) {
  kernels::check_pointwise("add", a.view(), b.view());
  Tensor y = empty_like(a);
  op_for(a).run(&kernels::Pointwise::add, a.stream(), a.view(), b.view(), y.view());
  return record("add", y, {a, b}, [](const Tensor& dy, Gradients& to) {
    to.pass(0, dy);
    to.pass(1, dy);
  });
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  kernels::check_pointwise("multiply", a.view(), b.view());
  Tensor y = empty_like(a);
  op_for(a).run(&kernels::Pointwise::multiply, a.stream(), a.view(), b.view(), y.view(), false);
  // Each factor is kept for the other's gradient alone.
  auto rule = [for_b = wants_grad(b) ? a.detach() : Tensor{},
               for_a = wants_grad(a) ? b.detach() : Tensor{}](const Tensor& dy, Gradients& to) {
    for (int i = 0; i < 2; ++i) {
      if (!to.wants(i)) continue;
      const Target d = to.target(i);
      const Tensor& other = i == 0 ? for_a : for_b;
      op_for(dy).run(&kernels::Pointwise::multiply, dy.stream(), dy.view(), other.view(), d.view(),
                     d.accumulate);
    }
  };
  return record("multiply", y, {a, b}, rule);
}

Tensor dropout(const Tensor& x, double p) {
  kernels::check_dropout({.p = p});
  if (p == 0) return x;
  const RandomDraw draw =
      x.device() == Device::meta ? RandomDraw{} : next_draw("dropout", x.device());
  const kernels::DropoutOptions o{
      .p = p, .seed = draw.seed, .place = draw.place, .call = draw.call};
  Tensor y = empty_like(x);
  op_for(x).run(&kernels::Pointwise::dropout, x.stream(), o, draw.step.view(), x.view(), y.view(),
                false);
  return record("dropout", y, {x}, [o, step = draw.step](const Tensor& dy, Gradients& to) {
    if (!to.wants(0)) return;
    const Target dx = to.target(0);
    op_for(dy).run(&kernels::Pointwise::dropout, dy.stream(), o, step.view(), dy.view(), dx.view(),
                   dx.accumulate);
  });
}

void scale_in_place(const Tensor& t, double factor) {
  op_for(t).run(&kernels::Pointwise::scale, t.stream(), factor, t.view(), t.view());
}

Tensor through_relu(const Tensor& y, const Tensor& dy) {
  Tensor dz = empty_like(y);
  op_for(y).run(&kernels::Pointwise::grad, y.stream(), kernels::Unary::relu, y.view(), dy.view(),
                dz.view(), false);
  return dz;
}

}  // namespace kinema::engine
