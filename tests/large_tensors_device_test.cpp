#include <cmath>
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/pool3d/pool3d.h"
#include "tests/support/device_check.h"

// Tensors of more than 2^32 elements, on a GPU. In emulation the same tests run on tensors of a few
// thousand, which shows no more than that they are right; that indices beyond 2^32 are is shown
// there by the functions that make them, in conformance_number_device_test and
// emulation_device_test.

namespace kinema::test {
namespace {

constexpr int64_t channels = 64;

/// Rows of 64 channels: 2^26 + 3 of them, or a few.
int64_t rows() {
  const bool gpu = device_runs().front().backend == Backend::cuda;
  return gpu ? (int64_t(1) << 26) + 3 : small() ? 131 : 515;
}

/// A tensor in device memory, [rows, channels...], too large for the host.
class Large {
 public:
  Large(const DeviceRun& run, Shape shape, Dtype dtype) : runtime_(*run.runtime) {
    view = kernels::fresh_layout(dtype, shape);
    memory_ = {runtime_.allocate(span(view) * size_of(dtype)), runtime_.release};
    view.data = memory_.get();
  }
  View view;

  /// Elements [first, first + count) of axis 0.
  View part(int64_t first, int64_t count) const { return view.slice(0, first, count); }
  void set(int64_t first, const Array& values) const {
    runtime_.upload({}, values.view.data, part(first, values.view.shape[0]).data,
                    int64_t(values.memory->size()));
  }
  Array get(int64_t first, int64_t count) const {
    Shape shape = view.shape;
    shape[0] = count;
    Array values(shape, view.dtype);
    runtime_.download({}, part(first, count).data, values.view.data,
                      int64_t(values.memory->size()));
    return values;
  }

 private:
  const kernels::Runtime& runtime_;
  std::shared_ptr<void> memory_;
};

/// Where to look along an axis of `size`: at its ends, and on both sides of 2^31 and 2^32 elements,
/// which are half of it and nearly all.
std::vector<int64_t> places(int64_t size, int64_t count) {
  return {0, size / 2 - count / 2, size - 2 * count, size - count};
}

/// The columns of a matrix that a pass is about.
struct Columns {
  int64_t first = 0, count = 0;
  View of(const View& v) const { return count ? v.slice(-1, first, count) : v; }
};

/// Sets random values at `places` of `inputs`, runs the pass, and holds what it leaves there in
/// `columns` of `output` against `reference` of the same values alone.
void expect_right(const std::vector<const Large*>& inputs, const Large& output,
                  const std::function<void()>& pass, const Pass& reference, double bound,
                  const Columns& columns = {}) {
  const int64_t count = 2;
  std::vector<std::vector<Array>> chosen;
  for (int64_t at : places(output.view.shape[0], count)) {
    std::vector<Array> values;
    for (const Large* in : inputs) {
      Shape shape = in->view.shape;
      shape[0] = count;
      values.push_back(random_array(shape, in->view.dtype, uint64_t(at) + values.size()));
      in->set(at, values.back());
    }
    Shape shape = output.view.shape;
    shape[0] = count;
    values.emplace_back(shape, output.view.dtype);
    chosen.push_back(std::move(values));
  }
  pass();
  size_t next = 0;
  for (int64_t at : places(output.view.shape[0], count)) {
    Array wanted = on_host(chosen[next++], reference).back(), got = output.get(at, count);
    wanted.view = columns.of(wanted.view);
    got.view = columns.of(got.view);
    const double rounding =
        kernels::is_narrow(wanted.view.dtype) ? epsilon_of(wanted.view.dtype) : 0;
    EXPECT_LE(error(got, wanted), bound + rounding) << "at " << at;
  }
}

template <class Op>
const Op& op_of(const DeviceRun& run, const Op* cuda, const Op* emulated) {
  return run.backend == Backend::cuda ? *cuda : *emulated;
}

const double bound = 16 * epsilon_of(Dtype::f32);

TEST(LargeTensors, Pointwise) {
  const DeviceRun& run = device_runs().front();
  const auto& op = op_of(run, &kernels::pointwise_cuda, &kernels::pointwise_emulated);
  const Large a(run, {rows(), channels}, Dtype::bf16), b(run, {rows(), channels}, Dtype::bf16),
      y(run, {rows(), channels}, Dtype::bf16);
  expect_right(
      {&a, &b}, y, [&] { op.add({}, a.view, b.view, y.view); },
      [](Stream s, const std::vector<View>& v) {
        kernels::pointwise_reference.add(s, v[0], v[1], v[2]);
      },
      bound);
  // Slices, which go element by element.
  const Columns from{1, 47}, to{3, 47};
  expect_right(
      {&a}, y, [&] { op.forward({}, kernels::Unary::tanh, from.of(a.view), to.of(y.view)); },
      [&](Stream s, const std::vector<View>& v) {
        kernels::pointwise_reference.forward(s, kernels::Unary::tanh, from.of(v[0]), to.of(v[1]));
      },
      bound, to);
}

TEST(LargeTensors, LayerNorm) {
  const DeviceRun& run = device_runs().front();
  const auto& op = op_of(run, &kernels::layer_norm_cuda, &kernels::layer_norm_emulated);
  const Large x(run, {rows(), channels}, Dtype::bf16), y(run, {rows(), channels}, Dtype::bf16),
      mean(run, {rows()}, Dtype::f32), rstd(run, {rows()}, Dtype::f32);
  expect_right(
      {&x}, y,
      [&] {
        op.forward({}, {}, x.view, {}, y.view, {mean.view, rstd.view});
      },
      [](Stream s, const std::vector<View>& v) {
        const Array m({v[0].shape[0]}, Dtype::f32), r({v[0].shape[0]}, Dtype::f32);
        kernels::layer_norm_reference.forward(s, {}, v[0], {}, v[1], {m.view, r.view});
      },
      bound);
}

TEST(LargeTensors, Pool3d) {
  const DeviceRun& run = device_runs().front();
  const auto& op = op_of(run, &kernels::pool3d_cuda, &kernels::pool3d_emulated);
  const kernels::Pool3dOptions o{.kernel = {1, 2, 2}};
  const int64_t clips = rows() / 16 + 1;
  const Large x(run, {clips, 1, 4, 4, channels}, Dtype::bf16),
      y(run, {clips, 1, 2, 2, channels}, Dtype::bf16),
      taps(run, {clips, 1, 2, 2, channels}, Dtype::u8),
      dx(run, {clips, 1, 4, 4, channels}, Dtype::bf16);
  expect_right(
      {&x}, y, [&] { op.max_forward({}, o, x.view, y.view, taps.view); },
      [&](Stream s, const std::vector<View>& v) {
        kernels::pool3d_reference.max_forward(s, o, v[0], v[1], {});
      },
      0);
  expect_right(
      {&y}, dx, [&] { op.average_grad({}, o, y.view, dx.view, false); },
      [&](Stream s, const std::vector<View>& v) {
        kernels::pool3d_reference.average_grad(s, o, v[0], v[1], false);
      },
      bound);
}

}  // namespace
}  // namespace kinema::test
