#include "kernels/conv3d/conv3d_grouped_plan.h"
#include "tests/support/conv3d_device.h"

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm, kernels::Conv3dCase;

constexpr kernels::Conv3dOverride grouped = {.algorithm = int(Conv3dAlgorithm::grouped)};

Conv3dCase layer(const char* what, const Shape& x, const Shape& w,
                 const std::array<int64_t, 3>& stride = {1, 1, 1}) {
  const std::array<int64_t, 3> pad = {w[1] / 2, w[2] / 2, w[3] / 2};
  return {"ci",
          what,
          x,
          w,
          {.stride = stride, .pad_front = pad, .pad_back = pad, .groups = x[4] / w[4]}};
}

/// The schedule is no matter for results without epilogue: those run once.
void expect_all(const Conv3dCase& c, Dtype type, Layout layout = Layout::fresh) {
  ConvolutionRun bare = run_of(c, type, grouped, layout);
  bare.runs = {device_runs().front()};
  const ConvolutionRun run = run_of(c, type, grouped, layout);
  expect_forward(bare);
  expect_forward(run, all_extras);
  expect_grad_input(bare);
  expect_grad_input(run, all_grad_extras);
  expect_grad_weight(bare);
  expect_grad_weight(run, true);
}

/// ResNeXt's groups, in packs; groups that packs do not take.
std::vector<Conv3dCase> cases() {
  std::vector<Conv3dCase> all = {
      layer("2 channels a group", {1, 3, 5, 9, 20}, {20, 3, 3, 3, 2}),
      layer("4 channels a group", {1, 3, 9, 7, 32}, {32, 3, 3, 3, 4}),
      layer("8 channels a group, strided", {1, 2, 9, 10, 24}, {24, 1, 3, 3, 8}, {1, 2, 2}),
      layer("16 channels a group", {1, 3, 5, 9, 48}, {48, 3, 3, 3, 16}),
      layer("16 channels a group, strided", {1, 2, 7, 6, 32}, {32, 3, 3, 3, 16}, {1, 2, 2}),
      layer("32 channels a group", {1, 2, 5, 6, 64}, {64, 1, 3, 3, 32}),
      layer("groups of 1x1x1", {1, 2, 5, 9, 32}, {32, 1, 1, 1, 8}),
      layer("groups of 5x1x1", {1, 6, 2, 9, 16}, {16, 5, 1, 1, 4}),
      layer("more channels out than in", {1, 2, 5, 6, 12}, {24, 3, 3, 3, 3}),
      layer("fewer channels out than in", {1, 3, 5, 6, 20}, {10, 3, 1, 3, 4}, {2, 1, 2})};
  for (const Conv3dCase& c : kernels::conv3d_cases)
    if (std::string(c.tag) == "ci" && c.options.groups > 1 && c.w[4] > 1) all.push_back(c);
  return all;
}

TEST(Conv3dGroupedDevice, Cases) {
  for (const Conv3dCase& c : cases())
    for (Dtype type : device_types) expect_all(c, type);
}

TEST(Conv3dGroupedDevice, SlicesAndStridedTensors) {
  const Conv3dCase c = layer("slice", {1, 2, 5, 9, 12}, {12, 1, 3, 3, 4}),
                   wide = layer("slice, wide", {1, 2, 3, 5, 32}, {32, 1, 1, 3, 16});
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    for (Dtype type : device_types) {
      expect_all(c, type, layout);
      expect_all(wide, type, layout);
    }
}

TEST(Conv3dGroupedDevice, NoBanksMeet) {
  const Conv3dCase c = layer("banks", {1, 3, 8, 16, 32}, {32, 3, 3, 3, 4});
  const int64_t conflicts = bank_conflicts([&] {
    ConvolutionRun run = run_of(c, Dtype::bf16, grouped);
    run.runs = {device_runs().front()};
    expect_forward(run);
    expect_grad_input(run);
    expect_grad_weight(run);
  });
  EXPECT_EQ(conflicts, 0);
}

}  // namespace
}  // namespace kinema::test
