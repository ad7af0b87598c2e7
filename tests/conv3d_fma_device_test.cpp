#include "tests/support/conv3d_device.h"

// Exact f32: forward and grad_input by FMA, as a general matrix product.

namespace kinema::test {
namespace {

using kernels::Conv3dOverride;

Conv3dOverride plan(int columns, int stages, int splits = 1) {
  return {.algorithm = int(kernels::Conv3dAlgorithm::gemm),
          .columns = columns,
          .stages = stages,
          .splits = splits};
}

void expect_both(const ConvolutionRun& run, const Extras& extras = {},
                 const GradExtras& grad_extras = {}) {
  expect_forward(run, extras);
  expect_grad_input(run, grad_extras);
}

/// Several tiles of rows and of columns, ragged; more stages of depth than the ring has.
ConvolutionRun ragged(const Conv3dOverride& plan, Layout layout = Layout::fresh) {
  return {.options = {.stride = {1, 2, 1}, .pad_front = {1, 0, 1}, .pad_back = {0, 2, 1}},
          .x = {2, 3, 7, 9, 37},
          .w = {70, 2, 1, 3, 37},
          .plan = plan,
          .layout = layout,
          .what = "ragged"};
}

TEST(Conv3dFmaDevice, EveryShape) {
  int shapes = 0;
  for (const kernels::Conv3dCase& c : kernels::conv3d_cases) {
    // Every group is a tile of its own, 64 columns or 32 for its one: a few groups show the same.
    if (c.tag != std::string("ci") || c.options.groups > 10) continue;
    if (c.w.size() > (small() ? 2000 : 20000)) continue;
    expect_both(run_of(c, Dtype::f32, plan(shapes % 2 ? 32 : 64, 2 + shapes % 3)));
    ++shapes;
  }
  EXPECT_GE(shapes, small() ? 10 : 15);
}

TEST(Conv3dFmaDevice, EveryDepthOfTheRing) {
  for (int stages = 2; stages <= 4; ++stages) expect_both(ragged(plan(64, stages)));
}

TEST(Conv3dFmaDevice, EpiloguesInAnyLayout) {
  for (Layout layout : {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided})
    expect_both(ragged(plan(32, 3), layout), all_extras, all_grad_extras);
}

/// The last: each step of the longest sums is a split, of the shorter ones of some phases not all.
TEST(Conv3dFmaDevice, Splits) {
  for (int splits : {2, 5, 12})
    expect_both(ragged(plan(64, 3, splits)), all_extras, all_grad_extras);
}

TEST(Conv3dFmaDevice, PhasesOfAStride) {
  expect_grad_input(
      {.options = {.stride = {3, 2, 2}, .dilation = {1, 3, 2}, .pad_front = {1, 2, 0}},
       .x = {1, 5, 9, 8, 20},
       .w = {33, 2, 3, 4, 20},
       .plan = plan(64, 3),
       .what = "phases"},
      all_grad_extras);
}

/// The deepest sums of C3D, 512 channels of 27 taps. Plain sums in f32 of so many random products
/// were seen to err by 4e-6 of the largest.
TEST(Conv3dFmaDevice, DeepSums) {
  const ConvolutionRun deep{
      .x = {1, 3, 4, 5, 512}, .w = {32, 3, 3, 3, 512}, .plan = plan(32, 3), .what = "deep"};
  expect_forward(deep);
  if (!small())
    expect_grad_input({.options = {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}},
                       .x = {1, 3, 3, 3, 32},
                       .w = {512, 3, 3, 3, 32},
                       .plan = plan(32, 4),
                       .what = "deep"});
}

}  // namespace
}  // namespace kinema::test
