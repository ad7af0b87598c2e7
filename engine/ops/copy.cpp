#include "engine/ops/copy.h"
#include "engine/autograd.h"
#include "engine/policy.h"
#include "kernels/copy/copy.h"

namespace kinema::engine {

namespace {
thread_local int64_t packed = 0;

const kernels::Copy& op_for(const Tensor& t) {
  return kernels::copy(backend_for("copy", t.device()));
}
}  // namespace

void copy(const Tensor& from, const Tensor& to, bool accumulate) {
  op_for(to).forward(to.stream(), from.view(), to.view(), accumulate);
}

void fill(const Tensor& to, double value) { op_for(to).fill(to.stream(), to.view(), value); }

Tensor contiguous(const Tensor& x) {
  const View fresh = kernels::fresh_layout(x.dtype(), x.shape());
  bool same = fresh.tail == x.layout.tail;
  for (int a = 0; a < x.rank(); ++a)
    same &= x.shape(a) == 1 || fresh.stride(a) == x.layout.stride(a);
  if (same) return x;
  Tensor y = empty_like(x);
  copy(x, y);
  count_packed(y);
  return record("contiguous", y, {x}, [](const Tensor& dy, Gradients& to) { to.pass(0, dy); });
}

int64_t packed_bytes() { return packed; }
void count_packed(const Tensor& copied) { packed += copied.storage->bytes(); }

Tensor cast(const Tensor& x, Dtype dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = empty(x.shape(), dtype, x.device());
  copy(x, y);
  return record("cast", y, {x}, [](const Tensor& dy, Gradients& to) {
    if (!to.wants(0)) return;
    const Target dx = to.target(0);
    if (!dx.accumulate) return copy(dy, dx.grad);
    copy(cast(dy, dx.grad.dtype()), dx.grad, true);
  });
}

}  // namespace kinema::engine
