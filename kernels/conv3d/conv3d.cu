#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/device/index.h"
#include "kernels/reduce/reduce.h"

// Which kernel does a pass: the plan's choice.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

namespace {

/// As Conv3dProblem::frames says.
bool frames_side_by_side(View v) {
  const bool dense = v.shape[4] <= 4 && (v.shape[3] <= 1 || v.stride(3) == v.shape[4]);
  v.shape[3] = 1;
  return dense && aligned(v);
}

/// x, w and y may be gradients.
Conv3dPlan plan_of(Conv3dPass pass, const Conv3dOptions& o, const View& x, const View& w,
                   const View& y) {
  const View& a = pass == Conv3dPass::grad_input ? y : x;
  const View& b = pass == Conv3dPass::grad_weight ? y : w;
  const bool reads_aligned = aligned(a) && aligned(b),
             frames = frames_side_by_side(x) && frames_side_by_side(w);
  return conv3d_current_plan({pass, o, x.shape, w.shape, x.dtype, reads_aligned, frames}, gpu());
}

[[noreturn]] void refuse(Conv3dPass pass, const Conv3dPlan& plan) {
  fail("conv3d: ", name_of(plan.algorithm), " has no ", name_of(pass));
}

}  // namespace

void forward(Stream stream, const Conv3dOptions& o, View x, View w, View y,
             const Conv3dEpilogue& e) {
  check_conv3d(o, x, w, y, e);
  if (!y.size()) return;
  const Conv3dPlan plan = plan_of(Conv3dPass::forward, o, x, w, y);
  check_conv3d_tiles(e.partials, plan.pixel_tiles);
  const bool exact = x.dtype == Dtype::f32 && !o.tf32;
  switch (plan.algorithm) {
    case Conv3dAlgorithm::gemm:
      return (exact ? forward_fma : forward_gemm)(stream, plan, o, x, w, y, e);
    case Conv3dAlgorithm::halo:
      return forward_halo(stream, plan, o, x, w, y, e);
    case Conv3dAlgorithm::pointwise:
      return forward_pointwise(stream, plan, o, x, w, y, e);
    case Conv3dAlgorithm::stem:
      return forward_stem(stream, plan, o, x, w, y, e);
    case Conv3dAlgorithm::depthwise:
    case Conv3dAlgorithm::grouped:
      return forward_grouped(stream, plan, o, x, w, y, e);
    default:
      refuse(Conv3dPass::forward, plan);
  }
}

void grad_input(Stream stream, const Conv3dOptions& o, View dy, View w, View dx,
                const Conv3dGradEpilogue& e) {
  check_conv3d_input(o, dy, w, dx, e);
  if (!dx.size()) return;
  const Conv3dPlan plan = plan_of(Conv3dPass::grad_input, o, dx, w, dy);
  check_conv3d_tiles(e.sums, plan.pixel_tiles);
  const bool exact = dx.dtype == Dtype::f32 && !o.tf32;
  switch (plan.algorithm) {
    case Conv3dAlgorithm::gemm:
      return (exact ? grad_input_fma : grad_input_gemm)(stream, plan, o, dy, w, dx, e);
    case Conv3dAlgorithm::halo:
      return grad_input_halo(stream, plan, o, dy, w, dx, e);
    case Conv3dAlgorithm::pointwise:
      return grad_input_pointwise(stream, plan, o, dy, w, dx, e);
    case Conv3dAlgorithm::depthwise:
    case Conv3dAlgorithm::grouped:
      return grad_input_grouped(stream, plan, o, dy, w, dx, e);
    default:
      refuse(Conv3dPass::grad_input, plan);
  }
}

void grad_weight(Stream stream, const Conv3dOptions& o, View x, View dy, View dw, bool accumulate) {
  check_conv3d_weight(o, x, dy, dw);
  if (!dw.size()) return;
  const Conv3dPlan plan = plan_of(Conv3dPass::grad_weight, o, x, dw, dy);
  switch (plan.algorithm) {
    case Conv3dAlgorithm::gemm:
      return grad_weight_gemm(stream, plan, o, x, dy, dw, accumulate);
    case Conv3dAlgorithm::stem:
      return grad_weight_stem(stream, plan, o, x, dy, dw, accumulate);
    case Conv3dAlgorithm::depthwise:
    case Conv3dAlgorithm::grouped:
      return grad_weight_grouped(stream, plan, o, x, dy, dw, accumulate);
    default:
      refuse(Conv3dPass::grad_weight, plan);
  }
}

/// Sums over columns, which is what reduce does.
void grad_bias(Stream stream, View dy, View db, bool accumulate) {
  check_conv3d_bias(dy, db);
  View sums = db;
  sums.shape = {1, 1, 1, 1, db.shape[0]};
  sums.strides = {db.shape[0], db.shape[0], db.shape[0], db.shape[0], 1};
  const ReduceOptions over_pixels{.axes = {true, true, true, true}};
  KERNELS_DEVICE(reduce).forward(stream, over_pixels, dy, sums, accumulate);
}

int64_t tiles(Conv3dPass pass, const Conv3dOptions& o, View x, View w, View y) {
  check_conv3d(o, x, w, y);
  const View& result = pass == Conv3dPass::forward ? y : x;
  return result.size() ? plan_of(pass, o, x, w, y).pixel_tiles : 0;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d

namespace kinema::kernels {

const Conv3d KERNELS_DEVICE(conv3d) = {.forward = device::conv3d::forward,
                                       .grad_input = device::conv3d::grad_input,
                                       .grad_weight = device::conv3d::grad_weight,
                                       .grad_bias = device::conv3d::grad_bias,
                                       .tiles = device::conv3d::tiles};

}  // namespace kinema::kernels
