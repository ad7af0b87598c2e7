#include <cmath>
#include <limits>
#include "kernels/conv3d/conv3d_grouped_plan.h"
#include "tests/support/conv3d_device.h"

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm, kernels::Conv3dCase, kernels::Conv3dOptions;

constexpr kernels::Conv3dOverride depthwise = {.algorithm = int(Conv3dAlgorithm::depthwise)};
constexpr Dtype narrow_types[] = {Dtype::bf16, Dtype::f16};

/// `channels` filters of `taps`, which leave H and W as they are where the stride is 1.
Conv3dCase layer(const char* what, const Shape& x, const std::array<int64_t, 3>& taps,
                 const std::array<int64_t, 3>& stride = {1, 1, 1}) {
  const std::array<int64_t, 3> pad = {taps[0] / 2, taps[1] / 2, taps[2] / 2};
  return {"ci",
          what,
          x,
          {x[4], taps[0], taps[1], taps[2], 1},
          {.stride = stride, .pad_front = pad, .pad_back = pad, .groups = x[4]}};
}

std::vector<Conv3dCase> depthwise_cases() {
  std::vector<Conv3dCase> all;
  for (const Conv3dCase& c : kernels::conv3d_cases)
    if (std::string(c.tag) == "ci" && c.w[4] == 1) all.push_back(c);
  return all;
}

/// What packs take, each kernel of theirs and each way that a rectangle can lie.
std::vector<Conv3dCase> pack_cases() {
  Conv3dOptions odd{.dilation = {1, 2, 1}, .pad_front = {2, 3, 0}, .pad_back = {0, 1, 2}};
  odd.groups = 24;
  Conv3dOptions apart{.stride = {1, 2, 2}, .pad_front = {0, 0, 2}, .pad_back = {1, 3, 0}};
  apart.groups = 9;
  return {layer("3x3x3", {2, 4, 9, 17, 24}, {3, 3, 3}),
          layer("3x3x3 strided", {1, 3, 9, 10, 20}, {3, 3, 3}, {1, 2, 2}),
          layer("1x3x3", {1, 2, 18, 7, 12}, {1, 3, 3}),
          layer("1x3x3, stride of w alone", {1, 2, 9, 21, 12}, {1, 3, 3}, {1, 1, 2}),
          layer("3x1x1", {1, 5, 3, 19, 16}, {3, 1, 1}),
          layer("5x1x1", {1, 7, 5, 9, 24}, {5, 1, 1}),
          layer("5x1x1 strided in space", {1, 4, 5, 6, 8}, {5, 1, 1}, {1, 2, 2}),
          layer("one pixel", {1, 1, 1, 1, 8}, {3, 3, 3}),
          layer("stride past a single row", {1, 2, 1, 3, 8}, {1, 1, 3}, {1, 2, 2}),
          layer("1x1x1", {1, 3, 4, 5, 8}, {1, 1, 1}),
          {"ci",
           "two frames of filters, dilated, unequal padding",
           {1, 5, 9, 11, 24},
           {24, 2, 3, 2, 1},
           odd},
          {"ci", "even filters, strided", {1, 3, 8, 9, 9}, {9, 3, 2, 4, 1}, apart}};
}

/// The schedule is no matter for results without epilogue: those run once.
void expect_all(const Conv3dCase& c, Dtype type, Layout layout = Layout::fresh,
                const kernels::Conv3dOverride& plan = depthwise) {
  ConvolutionRun bare = run_of(c, type, plan, layout);
  bare.runs = {device_runs().front()};
  const ConvolutionRun run = run_of(c, type, plan, layout);
  expect_forward(bare);
  expect_forward(run, all_extras);
  expect_grad_input(bare);
  expect_grad_input(run, all_grad_extras);
  expect_grad_weight(bare);
  expect_grad_weight(run, true);
}

TEST(Conv3dDepthwiseDevice, Cases) {
  for (const Conv3dCase& c : depthwise_cases())
    for (Dtype type : device_types) expect_all(c, type);
}

TEST(Conv3dDepthwiseDevice, Packs) {
  for (const Conv3dCase& c : pack_cases())
    for (Dtype type : narrow_types) {
      EXPECT_TRUE(
          kernels::conv3d_takes_packs({kernels::Conv3dPass::forward, c.options, c.x, c.w, type}))
          << c.what;
      expect_all(c, type);
    }
}

TEST(Conv3dDepthwiseDevice, SlicesAndStridedTensors) {
  const Conv3dCase c = layer("slice", {1, 3, 5, 9, 13}, {3, 3, 3}),
                   s = layer("slice, strided", {1, 2, 6, 5, 16}, {1, 3, 3}, {1, 2, 2});
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    for (Dtype type : device_types) {
      expect_all(c, type, layout);
      expect_all(s, type, layout);
    }
}

TEST(Conv3dDepthwiseDevice, StagesAndSplits) {
  const Conv3dCase c = layer("stages", {1, 6, 9, 10, 8}, {3, 3, 3});
  for (int stages : {2, 3, 4})
    for (Dtype type : narrow_types) {
      kernels::Conv3dOverride plan = depthwise;
      plan.stages = stages;
      expect_all(c, type, Layout::fresh, plan);
    }
  kernels::Conv3dOverride plan = depthwise;
  for (plan.splits = 1; plan.splits <= 3; ++plan.splits)
    for (Dtype type : device_types)
      for (bool accumulate : {false, true}) expect_grad_weight(run_of(c, type, plan), accumulate);
}

/// Which filters have no room in shared memory, which strides pass the sources.
TEST(Conv3dDepthwiseDevice, LargeFiltersAndStrides) {
  for (Dtype type : device_types) {
    expect_all(layer("many taps", {1, 1, 3, 9, 70}, {3, 11, 11}), type);
    expect_all(layer("strides of 3 and 4", {1, 5, 8, 9, 10}, {3, 5, 3}, {2, 3, 4}), type);
  }
}

/// A NaN stays within its pack of channels and within its taps' reach.
TEST(Conv3dDepthwiseDevice, NaNReachesItsPackAlone) {
  const Conv3dCase c = layer("NaN", {1, 3, 5, 10, 24}, {3, 3, 3});
  Array x = random_array(c.x, Dtype::bf16);
  std::vector<double> values = x.values();
  values[size_t(((1 * 5 + 2) * 10 + 4) * 24 + 9)] = std::numeric_limits<double>::quiet_NaN();
  x.set(values);
  const Array w = random_array(c.w, Dtype::bf16, 2), y(c.x, Dtype::bf16);
  const kernels::Conv3dPlanScope scope(depthwise);
  const auto got = on_device(device_runs().front(), {x, w, y}, [&](Stream s, const auto& v) {
    conv3d_here().forward(s, c.options, v[0], v[1], v[2], {});
  });
  const std::vector<double> sums = got[2].values();
  for (int64_t i = 0; i < c.x.size(); ++i) {
    const int64_t channel = i % 24, column = i / 24 % 10, row = i / 240 % 5;
    const bool near = std::abs(column - 4) <= 1 && std::abs(row - 2) <= 1;
    if (channel == 9 && near) {
      EXPECT_TRUE(std::isnan(sums[size_t(i)])) << i;
    } else if (channel / 8 != 1 || !near) {
      EXPECT_FALSE(std::isnan(sums[size_t(i)])) << i;
    }
  }
}

/// Of two neighbouring boxes each reads the other's border, along h and w: x once but for that. y
/// is written once; the weights, which each warp reads for itself, are few.
TEST(Conv3dDepthwiseDevice, MovesNoMoreThanTheHalo) {
  const Conv3dCase c = layer("traffic", {1, 24, 16, 16, 56}, {3, 3, 3});
  const Array x = random_array(c.x, Dtype::bf16), w = random_array(c.w, Dtype::bf16, 2),
              y = random_array(c.x, Dtype::bf16, 3), dw(c.w, Dtype::f32);
  const kernels::Conv3dPlanScope scope(depthwise);
  const auto bytes = [](const Array& a) { return int64_t(a.memory->size()); };
  // What the boxes of a frame of 16 x 16 read of it, and blocks along time of 24 frames.
  const auto read = [&](kernels::Conv3dPass pass) {
    const auto plan = kernels::conv3d_plan({pass, c.options, c.x, c.w, Dtype::bf16},
                                           kernels::four_multiprocessors, depthwise);
    const auto seen = [](int64_t size, int64_t box) {
      const int64_t boxes = (size + box - 1) / box;
      return double(size + 2 * (boxes - 1)) / double(size);
    };
    const double times = seen(24, plan.box[0]) * seen(16, plan.box[1]) * seen(16, plan.box[2]);
    EXPECT_LE(times, 1.8);
    return int64_t(times * double(bytes(x)));
  };
  const int64_t forward = read(kernels::Conv3dPass::forward),
                grad_input = read(kernels::Conv3dPass::grad_input),
                grad_weight = read(kernels::Conv3dPass::grad_weight);
  const auto moves = [&](const char* what, const Pass& pass, const Array& to, int64_t floor) {
    expect_traffic({x, w, y, dw}, pass, {floor, bytes(to)}, what);
  };
  moves(
      "conv3d.forward",
      [&](Stream s, const std::vector<View>& v) {
        conv3d_here().forward(s, c.options, v[0], v[1], v[2], {});
      },
      y, forward);
  moves(
      "conv3d.grad_input",
      [&](Stream s, const std::vector<View>& v) {
        conv3d_here().grad_input(s, c.options, v[2], v[1], v[0], {});
      },
      x, grad_input);
  const auto correlate = [&](Stream s, const std::vector<View>& v) {
    conv3d_here().grad_weight(s, c.options, v[0], v[2], v[3], false);
  };
  const auto moved = traffic([&] { on_device(device_runs().front(), {x, w, y, dw}, correlate); });
  if (moved) {
    EXPECT_LE(moved->read, (grad_weight + bytes(y)) * 11 / 10);
  }
}

}  // namespace
}  // namespace kinema::test
