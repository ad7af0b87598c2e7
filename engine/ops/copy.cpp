#include "engine/ops/copy.h"
#include "engine/autograd.h"
#include "engine/gpu.h"
#include "engine/served.h"
#include "kernels/copy/copy.h"

namespace kinema::engine {

namespace {
thread_local int64_t packed = 0;

Served<kernels::Copy> op_for(const Tensor& t) { return {"copy", kernels::copy, t.device()}; }

/// True if x lies as a fresh tensor does.
bool is_fresh(const Tensor& x) {
  const View fresh = kernels::fresh_layout(x.dtype(), x.shape());
  bool same = fresh.tail == x.layout.tail;
  for (int a = 0; a < x.rank(); ++a)
    same &= x.shape(a) == 1 || fresh.stride(a) == x.layout.stride(a);
  return same;
}

/// to = from on another device, one run of bytes of either; `from` is packed first where it is
/// none.
void transfer(const Tensor& x, const Tensor& to) {
  check(x.device() != Device::meta, "to_device: a tensor on the meta device has no values");
  Tensor from = x;
  if (!is_fresh(x)) copy(x, from = empty_like(x));
  const int64_t bytes = kernels::span(to.layout) * kernels::size_of(x.dtype());
  const kernels::Runtime& runtime = gpu_runtime();
  const auto pass = to.device() == Device::gpu ? runtime.upload : runtime.download;
  if (bytes) pass(current_stream(), from.layout.data, to.layout.data, bytes);
}

/// x in fresh memory of another device.
Tensor moved(const Tensor& x, Device device) {
  const Tensor y = empty(x.shape(), x.dtype(), device);
  if (device != Device::meta) transfer(x, y);
  return y;
}

}  // namespace

void copy(const Tensor& from, const Tensor& to, bool accumulate) {
  if (from.device() != to.device() && to.device() != Device::meta) {
    kernels::check_copy(from.view(), to.view(), accumulate);
    const bool bytes = !accumulate && from.dtype() == to.dtype() && is_fresh(to);
    return bytes ? transfer(from, to) : copy(moved(from, to.device()), to, accumulate);
  }
  op_for(to).run(&kernels::Copy::forward, to.stream(), from.view(), to.view(), accumulate);
}

void fill(const Tensor& to, double value) {
  op_for(to).run(&kernels::Copy::fill, to.stream(), to.view(), value);
}

Tensor contiguous(const Tensor& x) {
  if (is_fresh(x)) return x;
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

Tensor to_device(const Tensor& x, Device device) {
  if (x.device() == device) return x;
  return record(
      "to_device", moved(x, device), {x},
      [from = x.device()](const Tensor& dy, Gradients& to) { to.pass(0, to_device(dy, from)); });
}

}  // namespace kinema::engine
