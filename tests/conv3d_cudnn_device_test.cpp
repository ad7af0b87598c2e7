#include <cmath>
#include "kernels/conv3d/conv3d_cases.h"
#include "kernels/conv3d/conv3d_cudnn.h"
#include "kernels/cudnn/nvidia_libraries.h"
#include "tests/support/conv3d_device.h"

// conv3d on cudnn against the reference: on a GPU, part of gpu_tests; without one cuDNN plans and
// plain loops run what it was told (support/device_runs_cudnn.cpp).

namespace kinema::test {
namespace {

using kernels::Conv3d, kernels::Conv3dOptions, kernels::Conv3dPass, kernels::conv3d_cudnn;

class Conv3dCudnnDevice : public testing::Test {
 protected:
  void SetUp() override {
    device_runs();
    const std::string missing = kernels::nvidia_libraries().front().missing;
    if (!missing.empty()) GTEST_SKIP() << missing;
  }
};

struct Layer {
  std::string what;
  Shape x, w;
  Conv3dOptions options;
  Dtype type = Dtype::f32;
  Layout layout = Layout::fresh;
  Shape y() const { return kernels::conv3d_output(options, x, w); }
  std::string name(const char* pass) const {
    return what + ' ' + pass + " in " + name_of(type) + ", layout " + std::to_string(int(layout));
  }
  /// Sums run in f32, in some order: 1e-5 is the design's for f32. TF32 rounds each factor by up to
  /// 2^-11.
  double bound() const { return 1e-5 + (options.tf32 ? 0x1p-10 : 0); }
};

void expect(const std::vector<Array>& arrays, const std::function<Pass(const Conv3d&)>& pass,
            const std::vector<double>& bounds, const std::string& what) {
  expect_matches(
      arrays, pass(kernels::conv3d_reference), [&](const DeviceRun&) { return pass(conv3d_cudnn); },
      bounds, what);
}

void expect_forward_by_cudnn(const Layer& r, bool epilogue) {
  const std::vector<Array> arrays{
      random_array(r.x, r.type, 1, -1, 1, r.layout), random_array(r.w, r.type, 2),
      random_array({r.w[0]}, Dtype::f32, 3), Array(r.y(), r.type, r.layout)};
  // A bias that cuDNN has not fused meets a sum that was rounded before.
  const double rounded = epilogue && is_narrow(r.type) ? epsilon_of(r.type) : 0;
  const auto pass = [&](const Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.forward(s, r.options, v[0], v[1], v[3],
                 {.bias = epilogue ? v[2] : View{}, .relu = epilogue});
    };
  };
  expect(arrays, pass, {input, input, input, r.bound() + rounded}, r.name("forward"));
}

void expect_grad_input_by_cudnn(const Layer& r, bool accumulate) {
  const std::vector<Array> arrays{random_array(r.y(), r.type, 1, -1, 1, r.layout),
                                  random_array(r.w, r.type, 2),
                                  random_array(r.x, r.type, 3, -1, 1, r.layout)};
  const auto pass = [&](const Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.grad_input(s, r.options, v[0], v[1], v[2], {.accumulate = accumulate});
    };
  };
  expect(arrays, pass, {input, input, r.bound()}, r.name("grad_input"));
}

void expect_grad_weight_by_cudnn(const Layer& r, bool accumulate) {
  const std::vector<Array> arrays{random_array(r.x, r.type, 1, -1, 1, r.layout),
                                  random_array(r.y(), r.type, 2, -1, 1, r.layout),
                                  random_array(r.w, Dtype::f32, 3),
                                  random_array({r.w[0]}, Dtype::f32, 4)};
  // Beside 16 bits dw is rounded to them once (docs/design.md).
  const double rounded = is_narrow(r.type) ? epsilon_of(r.type) : 0;
  const auto pass = [&](const Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.grad_weight(s, r.options, v[0], v[1], v[2], accumulate);
      op.grad_bias(s, v[1], v[3], accumulate);
    };
  };
  expect(arrays, pass, {input, input, r.bound() + rounded, 1e-5}, r.name("grad_weight"));
}

void expect_all(const Layer& r, bool more) {
  expect_forward_by_cudnn(r, more);
  expect_grad_input_by_cudnn(r, more);
  expect_grad_weight_by_cudnn(r, more);
}

/// Each case in each type, plain and adding to what is there; small(): types and the two go round.
TEST_F(Conv3dCudnnDevice, Cases) {
  int next = 0;
  for (const auto& c : kernels::conv3d_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (const Dtype type : device_types)
      for (const bool more : {false, true})
        if (next++ % 7 == 0 || !small()) expect_all({c.what, c.x, c.w, c.options, type}, more);
  }
}

const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};

TEST_F(Conv3dCudnnDevice, SlicesAndStrides) {
  Conv3dOptions groups = same;
  groups.groups = 4;
  for (const Dtype type : device_types)
    for (const Layout layout : {Layout::slice, Layout::odd_slice, Layout::strided}) {
      expect_all({"dense", {2, 3, 9, 9, 16}, {24, 3, 3, 3, 16}, same, type, layout}, false);
      expect_all({"groups", {2, 3, 9, 9, 12}, {20, 3, 3, 3, 3}, groups, type, layout}, true);
    }
}

TEST_F(Conv3dCudnnDevice, Tf32) {
  Conv3dOptions o = same;
  o.tf32 = true;
  expect_all({"tf32", {1, 2, 8, 8, 32}, {32, 3, 3, 3, 32}, o}, false);
}

/// A fused ReLU hides no NaN.
TEST_F(Conv3dCudnnDevice, NansPassTheRelu) {
  const Layer r{"NaN", {1, 2, 6, 6, 16}, {16, 3, 3, 3, 16}, same};
  Array x = random_array(r.x, r.type, 1);
  std::vector<double> values = x.values();
  values[values.size() / 2] = std::nan("");
  x.set(values);
  const auto pass = [&](const Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.forward(s, r.options, v[0], v[1], v[3], {.bias = v[2], .relu = true});
    };
  };
  const Array w = random_array(r.w, r.type, 2), bias = random_array({r.w[0]}, Dtype::f32, 3);
  expect({x, w, bias, Array(r.y(), r.type)}, pass, {input, input, input, r.bound()}, "NaN");
}

/// Plans of other ranks give the same numbers, and there are some.
TEST_F(Conv3dCudnnDevice, PlansOfOtherRanks) {
  const Layer r{"ranks", {1, 2, 8, 8, 32}, {32, 3, 3, 3, 32}, same, Dtype::bf16};
  for (const Conv3dPass pass : {Conv3dPass::forward, Conv3dPass::grad_weight}) {
    const auto plans = kernels::conv3d_cudnn_plans(
        kernels::conv3d_fresh_problem(pass, r.options, r.x, r.w, r.type), 5);
    ASSERT_GE(plans.size(), 2u);
    for (size_t rank = 0; rank < plans.size(); ++rank) {
      SCOPED_TRACE(plans[rank].name);
      const kernels::Conv3dCudnnRankScope scope{int64_t(rank)};
      pass == Conv3dPass::forward ? expect_forward_by_cudnn(r, false)
                                  : expect_grad_weight_by_cudnn(r, false);
    }
  }
}

}  // namespace
}  // namespace kinema::test
