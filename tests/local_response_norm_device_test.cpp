#include "kernels/local_response_norm/local_response_norm.h"
#include "kernels/local_response_norm/local_response_norm_cases.h"
#include "tests/support/device_check.h"
#include "tests/support/library_check.h"

namespace kinema::test {
namespace {

using kernels::LocalResponseNorm, kernels::LocalResponseNormCase, kernels::LocalResponseNormOptions;

const double eps = epsilon_of(Dtype::f32);

/// A window's sum of squares rounds n times, the power a few times, each by half a unit, but the
/// sum counts for no more than beta of it; products and the gradient's second window likewise.
/// Times 2.
double bound_of(const LocalResponseNormOptions& o) { return (16 + 2 * double(o.n)) * eps; }

template <class F>
auto pass_of(const F& f) {
  return [&f](const LocalResponseNorm& op) -> Pass {
    return [&f, &op](Stream s, const std::vector<View>& v) { f(op, s, v); };
  };
}
template <class F>
void expect_pass(const std::vector<Array>& arrays, const F& f, const std::vector<double>& bounds,
                 const std::string& what) {
  expect_op_matches(kernels::local_response_norm_reference, &kernels::local_response_norm_cuda,
                    &kernels::local_response_norm_emulated, arrays, pass_of(f), bounds, what);
  // There the numbers of the formula are rounded to the type of the tensors.
  std::vector<double> rounded = bounds;
  rounded.back() += epsilon_of(arrays.front().view.dtype);
  expect_library_matches(kernels::local_response_norm_reference,
                         &kernels::local_response_norm_cudnn, arrays, pass_of(f), rounded, what);
}

/// Both passes, x and dy lying as `read` says, what is written as `written` does.
void expect_all(const std::string& what, const Shape& shape, const LocalResponseNormOptions& o,
                Dtype type, Layout read = Layout::fresh, Layout written = Layout::fresh) {
  const Array x = random_array(shape, type, 1, -2, 2, read),
              dy = random_array(shape, type, 2, -1, 1, read);
  expect_pass(
      {x, Array(shape, type, written)},
      [&](const LocalResponseNorm& op, Stream s, const std::vector<View>& v) {
        op.forward(s, o, v[0], v[1]);
      },
      {input, bound_of(o)}, "local_response_norm.forward, " + what);
  for (bool accumulate : {false, true})
    expect_pass(
        {x, dy,
         accumulate ? random_array(shape, type, 3, -1, 1, written) : Array(shape, type, written)},
        [&](const LocalResponseNorm& op, Stream s, const std::vector<View>& v) {
          op.grad(s, o, v[0], v[1], v[2], accumulate);
        },
        {input, input, bound_of(o)}, "local_response_norm.grad, " + what);
}

TEST(LocalResponseNormDevice, AgreesWithTheReference) {
  for (const LocalResponseNormCase& c : kernels::local_response_norm_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : device_types) expect_all(c.what, c.x, c.options, type);
  }
}

/// Elsewhere what cuDNN does not take is left out.
TEST(LocalResponseNormDevice, CudnnTakesLayersOfAlexNet) {
  const auto* op = &kernels::local_response_norm_cudnn;
  if (!has_library(op)) GTEST_SKIP() << "cudnn is not linked: gpu_tests runs it";
  const LocalResponseNormOptions o{.n = 5, .k = 2, .alpha = 0.1, .beta = 0.75};
  const auto forward = [&](const LocalResponseNorm& norm, Stream s, const std::vector<View>& v) {
    norm.forward(s, o, v[0], v[1]);
  };
  const Shape x{2, 1, 5, 5, 96};
  EXPECT_TRUE(expect_library_matches(kernels::local_response_norm_reference, op,
                                     {random_array(x), Array(x, Dtype::f32)}, pass_of(forward),
                                     {input, bound_of(o) + eps}, "AlexNet"));
}

TEST(LocalResponseNormDevice, TakesAnyLayout) {
  const LocalResponseNormOptions o{.n = 5, .k = 1, .alpha = 0.3, .beta = 0.75};
  for (const Shape& shape : {Shape{2, 3, 2, 2, 45}, Shape{1, 2, 3, 2, 24}, Shape{3, 2, 2, 3, 3}})
    for (Dtype type : device_types)
      for (auto [read, written] : {std::pair{Layout::odd_slice, Layout::odd_slice},
                                   {Layout::slice, Layout::slice},
                                   {Layout::strided, Layout::strided},
                                   {Layout::odd_slice, Layout::fresh},
                                   {Layout::fresh, Layout::odd_slice}})
        expect_all("layouts", shape, o, type, read, written);
}

TEST(LocalResponseNormDevice, TakesAnyWindow) {
  for (int64_t n : {1, 3, 7, 9, 15, 17, 19, 31, 33, 63, 65, 199})
    for (Dtype type : {Dtype::f32, Dtype::bf16})
      for (Layout layout : {Layout::fresh, Layout::odd_slice})
        expect_all("n " + std::to_string(n), {3, 75}, {.n = n, .k = 1, .alpha = 0.1, .beta = 0.75},
                   type, layout, layout);
}

TEST(LocalResponseNormDevice, CutsLongRows) {
  // 256 packs are one tile; one more are two.
  for (int64_t channels : {256, 257, 700, 1024, 1030, 2100})
    for (int64_t n : {5, 127}) {
      if (n > 5 && channels > 257) continue;  // the reference takes n^2 steps
      const LocalResponseNormOptions o{.n = n, .k = 1, .alpha = 0.02, .beta = 0.5};
      for (Dtype type : {Dtype::f32, Dtype::f16}) expect_all("long rows", {2, channels}, o, type);
      expect_all("long rows", {2, channels}, o, Dtype::f32, Layout::odd_slice, Layout::odd_slice);
    }
}

TEST(LocalResponseNormDevice, ManyRowsTakeSeveralRounds) {
  // Blocks of 21 rows of 96 narrow channels take 84 at once, and 12 blocks fill 4 multiprocessors.
  for (Dtype type : device_types) expect_all("many rows", {1100, 96}, {.alpha = 0.1}, type);
}

TEST(LocalResponseNormDevice, RefusesWindowsThatNoTileHolds) {
  const DeviceRun& run = device_runs().front();
  const auto& op = *(run.backend == Backend::cuda ? &kernels::local_response_norm_cuda
                                                  : &kernels::local_response_norm_emulated);
  const Array x({2, 300}, Dtype::f32), y({2, 300}, Dtype::f32);
  const std::string text =
      "local_response_norm: on a GPU n must be at most 127 where there are more than 256 channels, "
      "got n 129 and 300 channels";
  EXPECT_EQ(refusal_of([&] { op.forward({}, {.n = 129}, x.view, y.view); }), text);
  EXPECT_EQ(refusal_of([&] { op.grad({}, {.n = 129}, x.view, y.view, y.view, false); }), text);
}

TEST(LocalResponseNormDevice, ReadsEachInputOnce) {
  const DeviceRun& run = device_runs().front();
  const auto& op = *(run.backend == Backend::cuda ? &kernels::local_response_norm_cuda
                                                  : &kernels::local_response_norm_emulated);
  for (Dtype type : {Dtype::f32, Dtype::bf16})
    for (const Shape& shape : {Shape{300, 96}, Shape{4, 3000}}) {
      const int64_t once = shape.size() * size_of(type);
      const std::vector<Array> a{random_array(shape, type, 1), random_array(shape, type, 2),
                                 Array(shape, type)};
      expect_traffic(
          a, [&](Stream s, const auto& v) { op.forward(s, {}, v[0], v[2]); }, {once, once},
          "local_response_norm.forward");
      expect_traffic(
          a, [&](Stream s, const auto& v) { op.grad(s, {}, v[0], v[1], v[2], false); },
          {2 * once, once}, "local_response_norm.grad");
    }
}

}  // namespace
}  // namespace kinema::test
