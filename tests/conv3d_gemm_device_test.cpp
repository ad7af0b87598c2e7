#include "tests/support/conv3d_device.h"

// The implicit product of forward and grad_input by tensor cores.

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm, kernels::Conv3dOptions, kernels::Conv3dOverride;

constexpr Conv3dOverride gemm(int columns, int stages = 3, int splits = 1) {
  return {int(Conv3dAlgorithm::gemm), columns, stages, splits};
}

/// Both passes, with and without everything that their epilogues have.
void expect_both(const ConvolutionRun& r) {
  expect_forward(r);
  expect_forward(r, all_extras);
  expect_grad_input(r);
  expect_grad_input(r, all_grad_extras);
}

/// f32 runs as TF32.
ConvolutionRun on_tensor_cores(ConvolutionRun r) {
  r.options.tf32 = r.type == Dtype::f32;
  if (r.type == Dtype::f32 && r.plan.columns == 32) r.plan.columns = 64;
  return r;
}

TEST(Conv3dGemmDevice, Cases) {
  for (const kernels::Conv3dCase& c : kernels::conv3d_cases) {
    if (std::string(c.tag) != "ci" || c.options.groups > 20) continue;
    for (Dtype type : device_types) {
      ConvolutionRun r = on_tensor_cores(run_of(c, type, gemm(32)));
      expect_forward(r);
      expect_grad_input(r);
    }
  }
}

/// Every kernel; shapes with several tiles of everything and rests.
TEST(Conv3dGemmDevice, Tiles) {
  for (int columns : {128, 32})
    for (Dtype type : device_types)
      expect_both(on_tensor_cores({.options = {.stride = {1, 2, 1}, .pad_front = {1, 0, 2}},
                                   .x = {1, 3, 5, 11, 75},
                                   .w = {136, 2, 3, 2, 75},
                                   .type = type,
                                   .plan = gemm(columns),
                                   .what = "tiles"}));
}

}  // namespace
}  // namespace kinema::test
