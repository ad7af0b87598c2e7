#include "engine/ops/reduce.h"
#include "engine/autograd.h"
#include "engine/ops/views.h"
#include "engine/served.h"
#include "kernels/reduce/reduce.h"

namespace kinema::engine {

namespace {

using kernels::ReduceOptions;

Served<kernels::Reduce> op_for(const Tensor& t) { return {"reduce", kernels::reduce, t.device()}; }

ReduceOptions over(const char* op, const Tensor& x, const std::vector<int>& axes) {
  ReduceOptions o;
  for (int axis : axes) {
    const int a = axis < 0 ? axis + x.rank() : axis;
    check(a >= 0 && a < x.rank(), op, ": axes must be in [", -x.rank(), ",", x.rank(), "), got ",
          axis, " for x ", x.shape());
    check(!o.axes[size_t(a)], op, ": axis ", axis, " is named twice");
    o.axes[size_t(a)] = true;
  }
  return o;
}

Tensor reduced(const char* op, const Tensor& x, const ReduceOptions& o) {
  Tensor y = empty(kernels::reduce_output(o, x.shape()), x.dtype(), x.device());
  kernels::check_reduce(o, x.view(), y.view());
  op_for(x).run(&kernels::Reduce::forward, x.stream(), o, x.view(), y.view(), false);
  Work work;  // one output sees all of each axis of time or space that was summed
  for (int a = 1; x.rank() == 5 && a <= 3; ++a)
    if (o.axes[size_t(a)]) work.window.size[size_t(a - 1)] = x.shape(a);
  auto rule = [o](const Tensor& dy, Gradients& to) {
    if (!to.wants(0)) return;
    const Target dx = to.target(0);
    op_for(dy).run(&kernels::Reduce::broadcast, dy.stream(), o, dy.view(), dx.view(),
                   dx.accumulate);
  };
  return record(op, y, {x}, rule, work);
}

Tensor averaged(const char* op, const Tensor& x, const std::vector<int>& axes) {
  ReduceOptions o = over(op, x, axes);
  int64_t count = 1;
  for (int a = 0; a < x.rank(); ++a)
    if (o.axes[size_t(a)]) count *= x.shape(a);
  o.scale = 1 / double(count);
  return reduced(op, x, o);
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int>& axes) {
  return reduced("sum", x, over("sum", x, axes));
}

Tensor mean(const Tensor& x, const std::vector<int>& axes) { return averaged("mean", x, axes); }

Tensor global_average_pool(const Tensor& x) {
  check(x.rank() == 5, "global_average_pool: x must be [N,T,H,W,C], got ", x.shape());
  return reshape(averaged("global_average_pool", x, {1, 2, 3}), {x.shape(0), x.shape(4)});
}

void squared_norm(const Tensor& x, const Tensor& y, bool accumulate) {
  op_for(x).run(&kernels::Reduce::squared_norm, x.stream(), x.view(), y.view(), accumulate);
}

}  // namespace kinema::engine
