#include <cmath>
#include "kernels/base/philox.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/copy/copy.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/local_response_norm/local_response_norm.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/pool3d/pool3d.h"
#include "kernels/reduce/reduce.h"
#include "kernels/sgd/sgd.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "tests/support/large_tensors.h"

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

TEST(LargeTensors, DropoutDrawsOnBeyond32Bits) {
  const DeviceRun& run = device_runs().front();
  const auto& op = op_of(run, &kernels::pointwise_cuda, &kernels::pointwise_emulated);
  const kernels::DropoutOptions o{.p = 0.5, .seed = 3, .place = 4, .call = 5};
  const Large x(run, {rows(), channels}, Dtype::bf16), y(run, {rows(), channels}, Dtype::bf16);
  const std::vector<double> ones(size_t(2 * channels), 1);
  for (int64_t at : places(rows(), 2)) x.set(at, filled_array({2, channels}, Dtype::bf16, ones));
  const Large step(run, {1}, Dtype::i64);
  step.set(0, filled_array({1}, Dtype::i64, {6}));
  op.dropout({}, o, step.view, x.view, y.view, false);
  const uint64_t stream = kernels::stream_of_draw(o.call, 6, o.place);
  for (int64_t at : places(rows(), 2)) {
    std::vector<double> wanted;
    for (int64_t i = at * channels; i < (at + 2) * channels; ++i) {
      const auto words = kernels::philox(uint64_t(i / 4), o.seed, stream);
      wanted.push_back(double(kernels::unit_float(words[size_t(i % 4)])) >= o.p ? 2 : 0);
    }
    EXPECT_EQ(y.get(at, 2).values(), wanted) << "at " << at;
  }
}

TEST(LargeTensors, CopyCasts) {
  const DeviceRun& run = device_runs().front();
  const auto& op = op_of(run, &kernels::copy_cuda, &kernels::copy_emulated);
  const Large x(run, {rows(), channels}, Dtype::f32), y(run, {rows(), channels}, Dtype::bf16);
  op.fill({}, x.view, 0);
  expect_right(
      {&x}, y, [&] { op.forward({}, x.view, y.view, false); },
      [](Stream s, const std::vector<View>& v) {
        kernels::copy_reference.forward(s, v[0], v[1], false);
      },
      0);
}

TEST(LargeTensors, BatchNorm) {
  const DeviceRun& run = device_runs().front();
  const auto& op = op_of(run, &kernels::batch_norm_cuda, &kernels::batch_norm_emulated);
  const Large x(run, {rows(), channels}, Dtype::bf16), y(run, {rows(), channels}, Dtype::bf16),
      scratch(run, {7, channels}, Dtype::f32);
  op_of(run, &kernels::copy_cuda, &kernels::copy_emulated).fill({}, x.view, 3);
  const auto row = [&](int64_t i) {
    return kernels::View{.data = scratch.part(i, 1).data, .shape = {channels}, .strides = {1}};
  };
  op.statistics({}, x.view, row(0), row(1));
  for (double mean : scratch.get(0, 1).values()) EXPECT_EQ(mean, 3);
  for (double var : scratch.get(1, 1).values()) EXPECT_EQ(var, 0);
  const auto gamma = random_array({1, channels}, Dtype::f32, 1),
             beta = random_array({1, channels}, Dtype::f32, 2),
             mean = random_array({1, channels}, Dtype::f32, 3),
             var = random_array({1, channels}, Dtype::f32, 4, 0.5, 2);
  for (const auto& [place, values] : {std::pair{2, &gamma}, {3, &beta}, {4, &mean}, {5, &var}})
    scratch.set(place, *values);
  const kernels::BatchNormOptions o{};
  expect_right(
      {&x}, y,
      [&] {
        op.infer_forward({}, o, x.view, {row(2), row(3), row(4), row(5)}, {.relu = true}, y.view,
                         {row(0), row(1)});
      },
      [&](Stream s, const std::vector<View>& v) {
        const auto flat = [](const Array& a) {
          return kernels::View{.data = a.view.data, .shape = {channels}, .strides = {1}};
        };
        const Array m({channels}, Dtype::f32), r({channels}, Dtype::f32);
        kernels::batch_norm_reference.infer_forward(
            s, o, v[0], {flat(gamma), flat(beta), flat(mean), flat(var)}, {.relu = true}, v[1],
            {m.view, r.view});
      },
      bound);
}

TEST(LargeTensors, LocalResponseNorm) {
  const DeviceRun& run = device_runs().front();
  const auto& op =
      op_of(run, &kernels::local_response_norm_cuda, &kernels::local_response_norm_emulated);
  const Large x(run, {rows(), channels}, Dtype::bf16), y(run, {rows(), channels}, Dtype::bf16);
  const kernels::LocalResponseNormOptions o{};
  expect_right(
      {&x}, y, [&] { op.forward({}, o, x.view, y.view); },
      [&](Stream s, const std::vector<View>& v) {
        kernels::local_response_norm_reference.forward(s, o, v[0], v[1]);
      },
      bound);
}

TEST(LargeTensors, Softmax) {
  const DeviceRun& run = device_runs().front();
  const auto& op =
      op_of(run, &kernels::softmax_cross_entropy_cuda, &kernels::softmax_cross_entropy_emulated);
  const Large x(run, {rows(), channels}, Dtype::bf16), p(run, {rows(), channels}, Dtype::f32);
  expect_right(
      {&x}, p, [&] { op.softmax({}, x.view, p.view); },
      [](Stream s, const std::vector<View>& v) {
        kernels::softmax_cross_entropy_reference.softmax(s, v[0], v[1]);
      },
      bound);
}

TEST(LargeTensors, StepsOfOptimisers) {
  const DeviceRun& run = device_runs().front();
  const Large w(run, {rows(), channels}, Dtype::f32), g(run, {rows(), channels}, Dtype::f32),
      v(run, {rows(), channels}, Dtype::f32);
  const Large update(run, {4}, Dtype::f64);
  const Array first = filled_array({4}, Dtype::f64, {0.5, 1, 1, 1});
  update.set(0, first);
  const kernels::SgdOptions o{.momentum = 0.9};
  // v is what the step leaves there in the first step: g. w is held by the small tests.
  expect_right(
      {&w, &g}, v,
      [&] {
        op_of(run, &kernels::sgd_cuda, &kernels::sgd_emulated)
            .step({}, o, update.view, w.view, g.view, v.view, {});
      },
      [&](Stream s, const std::vector<View>& a) {
        kernels::sgd_reference.step(s, o, first.view, a[0], a[1], a[2], {});
      },
      bound);
}

TEST(LargeTensors, Reduce) {
  const DeviceRun& run = device_runs().front();
  const auto& op = op_of(run, &kernels::reduce_cuda, &kernels::reduce_emulated);
  const Large x(run, {rows(), channels}, Dtype::bf16), y(run, {1, channels}, Dtype::f32);
  op_of(run, &kernels::copy_cuda, &kernels::copy_emulated).fill({}, x.view, 1);
  op.forward({}, {.axes = {true}}, x.view, y.view, false);
  for (double sum : y.get(0, 1).values()) EXPECT_EQ(sum, double(float(rows())));
  const Large norm(run, {1}, Dtype::f64);
  op.squared_norm({}, x.view, norm.view, false);
  EXPECT_EQ(norm.get(0, 1).values()[0], double(rows() * channels));
}

}  // namespace
}  // namespace kinema::test
