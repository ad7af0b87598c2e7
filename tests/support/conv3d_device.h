#pragma once
#include <optional>
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_cases.h"
#include "kernels/conv3d/conv3d_plan.h"
#include "tests/support/device_check.h"

namespace kinema::test {

/// One convolution on the device: what its tensors are and which plan is wanted.
struct ConvolutionRun {
  kernels::Conv3dOptions options = {};
  Shape x = {}, w = {};
  Dtype type = Dtype::f32;
  kernels::Conv3dOverride plan = {};
  Layout layout = Layout::fresh;           ///< of x, y, dx, dy, residual, mask and z
  std::optional<Layout> layout_of_x = {};  ///< where x lies otherwise than the rest
  std::string what = {};
  std::vector<DeviceRun> runs = every_run_twice();
};
ConvolutionRun run_of(const kernels::Conv3dCase&, Dtype, const kernels::Conv3dOverride& = {},
                      Layout = Layout::fresh);

/// Which parts of the epilogue a forward has.
struct Extras {
  bool bias = false, scale = false, residual = false, relu = false, partials = false;
  bool shift = false;  ///< comes with scale; this: without
};
inline constexpr Extras all_extras = {true, true, true, true, true};
/// Likewise of grad_input.
struct GradExtras {
  bool accumulate = false, mask = false, sums = false;
};
inline constexpr GradExtras all_grad_extras = {true, true, true};

/// Hold a pass against the reference in every device run (see expect_matches). Bounds: f32 and sums
/// of narrow types 1e-5; results of narrow types one unit in the last place more; under TF32 twice
/// what rounding the factors does to the reference. Partials and sums are merged over their tiles
/// and held against the same of the stored result, as the device has stored it (TileCheck).
void expect_forward(const ConvolutionRun&, const Extras& = {});
void expect_grad_input(const ConvolutionRun&, const GradExtras& = {});
void expect_grad_weight(const ConvolutionRun&, bool accumulate = false);

/// True if the plan that a pass is wanted to run by suits it in every run, on whatever GPU.
bool plan_suits(const ConvolutionRun&, kernels::Conv3dPass);

/// The contract that the program is linked with.
const kernels::Conv3d& conv3d_here();

}  // namespace kinema::test
