#include "tests/support/check.h"
#include <cstring>
#include <limits>
#include <random>

namespace kinema::test {

namespace {

constexpr double mark = 12288;  // the same in every type but u8

double element(const Tensor& t, int64_t at) {
  return kernels::dispatch_any(t.dtype(), [&]<class T>(T) { return double(data<T>(t)[at]); });
}

/// f(offset) for every element of t, row-major.
template <class F>
void each(const Tensor& t, F f) {
  const kernels::RowOffsets offset(t.layout);
  for (int64_t r = 0; t.size() && r < offset.rows(); ++r)
    for (int64_t i = 0; i < t.shape(-1); ++i) f(offset(r) + i);
}

std::vector<double> values(const Tensor& t) {
  const Tensor host = to_device(t.detach(), Device::cpu);
  std::vector<double> all;
  each(host, [&](int64_t at) { all.push_back(element(host, at)); });
  return all;
}

struct Run {
  Tensor y;
  std::vector<Tensor> grads;
};

/// Forward and backward pass of f on `device`; dy is drawn where it is not given.
Run run(const Function& f, const std::vector<Tensor>& inputs, Tensor& dy,
        Device device = Device::cpu) {
  std::vector<Tensor> leaves;
  for (const Tensor& t : inputs) {
    const Tensor there = to_device(t, device);
    leaves.push_back(kernels::is_float(t.dtype()) ? parameter(there) : there);
  }
  Run r;
  r.y = f(leaves);
  if (!dy) dy = random(r.y.shape(), 99, r.y.dtype());
  if (r.y.node) backward(r.y, to_device(dy, device));
  for (const Tensor& t : leaves) r.grads.push_back(t.node ? gradient(t) : Tensor{});
  return r;
}

Run run(const Function& f, const std::vector<Tensor>& inputs, Backend backend, Tensor& dy) {
  const BackendScope scope(backend);
  return run(f, inputs, dy);
}

/// Holds y and every gradient of `got` against `want`.
::testing::AssertionResult agrees(const Run& got, const Run& want, double bound) {
  const auto compare = [&](const Tensor& a, const Tensor& b, const std::string& what) {
    const double apart = error(a, b), allowed = bound + rounding(b.dtype());
    if (!(apart <= allowed))
      return ::testing::AssertionFailure() << what << ": error " << apart << " over " << allowed;
    if (!tail_is_zero(a)) return ::testing::AssertionFailure() << what << ": zero lanes written";
    return ::testing::AssertionSuccess();
  };
  ::testing::AssertionResult result = compare(got.y, want.y, "forward");
  for (size_t i = 0; result && i < want.grads.size(); ++i)
    if (want.grads[i] || got.grads[i])
      result = compare(got.grads[i], want.grads[i], "gradient of input " + std::to_string(i));
  return result;
}

}  // namespace

Tensor random(const Shape& shape, uint64_t seed, Dtype dtype, double low, double high) {
  std::mt19937_64 source(seed);
  Tensor t = empty(shape, dtype);
  each(t, [&](int64_t at) {
    const double u = double(source() >> 11) * 0x1p-53;
    kernels::dispatch_any(dtype, [&]<class T>(T) { data<T>(t)[at] = T(low + (high - low) * u); });
  });
  return t;
}

double error(const Tensor& a, const Tensor& b) {
  if (!a || !b || !(a.shape() == b.shape())) return std::numeric_limits<double>::infinity();
  const std::vector<double> va = values(a), vb = values(b);
  double worst = 0, scale = 0;
  for (size_t i = 0; i < va.size(); ++i) {
    const double gap = std::abs(va[i] - vb[i]);
    if (std::isnan(gap)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, gap);
    scale = std::max(scale, std::abs(vb[i]));
  }
  return worst == 0 ? 0 : worst / std::max(scale, 1e-30);
}

Slice::Slice(const Shape& shape, int64_t front_, int64_t back, Dtype dtype) : front(front_) {
  Shape wide = shape;
  wide[-1] += front + back;
  whole = full(wide, mark, dtype);
  part = {whole.storage, whole.layout.slice(-1, front, shape[-1]), nullptr};
}

Slice::Slice(const Tensor& t, int64_t front_, int64_t back)
    : Slice(t.shape(), front_, back, t.dtype()) {
  copy(t, part);
}

bool Slice::neighbours_untouched() const {
  const int64_t width = part.shape(-1);
  const kernels::RowOffsets offset(whole.layout);
  for (int64_t r = 0; r < offset.rows(); ++r)
    for (int64_t i = 0; i < whole.shape(-1); ++i)
      if ((i < front || i >= front + width) && element(whole, offset(r) + i) != mark) return false;
  return tail_is_zero(whole);
}

Tensor poisoned(const Shape& shape, Dtype dtype) {
  Tensor t = empty(shape, dtype);
  Tensor lanes = t;
  if (t.layout.tail) {
    lanes.layout.shape[-1] += t.layout.tail;
    lanes.layout.tail = 0;
  }
  kernels::dispatch_any(dtype, [&]<class T>(T) {
    const T poison = kernels::is_float(dtype) ? T(NAN) : std::numeric_limits<T>::max();
    each(lanes, [&](int64_t at) { data<T>(t)[at] = poison; });
  });
  return t;
}

bool tail_is_zero(const Tensor& tensor) {
  const Tensor t = to_device(tensor.detach(), Device::cpu);
  const kernels::RowOffsets offset(t.layout);
  for (int64_t r = 0; t.size() && r < offset.rows(); ++r)
    for (int64_t i = 0; i < t.layout.tail; ++i)
      if (element(t, offset(r) + t.shape(-1) + i) != 0) return false;
  return true;
}

::testing::AssertionResult matches_reference(const Function& f, const std::vector<Tensor>& inputs,
                                             double bound, Backend backend) {
  Tensor dy;
  const Run want = run(f, inputs, Backend::reference, dy);
  const Run got = run(f, inputs, backend, dy);
  return agrees(got, want, bound);
}

::testing::AssertionResult matches_cpu(const Function& f, const std::vector<Tensor>& inputs,
                                       double bound) {
  Tensor dy;
  const Run want = run(f, inputs, dy);
  const Run got = run(f, inputs, dy, Device::gpu);
  if (got.y.device() != Device::gpu)
    return ::testing::AssertionFailure() << "the result lies on " << name_of(got.y.device());
  return agrees(got, want, bound);
}

::testing::AssertionResult gradient_is_right(const Function& f, const std::vector<Tensor>& inputs,
                                             double bound) {
  Tensor dy;
  const Run r = run(f, inputs, Backend::reference, dy);
  BackendScope scope(Backend::reference);
  NoGrad off_tape;
  auto dot = [&] {
    const std::vector<double> y = values(f(inputs)), g = values(dy);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * g[i];
    return sum;
  };
  constexpr double step = 1e-4;
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (inputs[k].dtype() != Dtype::f64) continue;
    if (!r.grads[k]) return ::testing::AssertionFailure() << "input " << k << " got no gradient";
    std::vector<double> analytic = values(r.grads[k]);
    size_t i = 0;
    double worst = 0;
    each(inputs[k], [&](int64_t at) {
      double& x = data<double>(inputs[k])[at];
      const double keep = x;
      x = keep + step;
      const double up = dot();
      x = keep - step;
      const double down = dot();
      x = keep;
      const double gap = std::abs((up - down) / (2 * step) - analytic[i++]);
      worst = std::isnan(gap) ? std::numeric_limits<double>::infinity() : std::max(worst, gap);
    });
    if (!(worst <= bound))
      return ::testing::AssertionFailure() << "gradient of input " << k << " off by " << worst;
  }
  return ::testing::AssertionSuccess();
}

std::vector<float> floats(const Tensor& t) { return to_vector<float>(cast(t, Dtype::f32)); }

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace kinema::test
