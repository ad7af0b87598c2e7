#include "tests/support/conv3d_device.h"

// 1x1x1: forward and grad_input of every type, by blocks that go from tile to tile.

namespace kinema::test {
namespace {

/// Ragged in pixels and columns; `depth` channels go in, 70 come out.
ConvolutionRun ragged(Dtype type, int64_t depth, Layout layout = Layout::fresh) {
  return {.x = {2, 3, small() ? 7 : 13, 11, depth},
          .w = {70, 1, 1, 1, depth},
          .type = type,
          .plan = {.algorithm = int(kernels::Conv3dAlgorithm::pointwise)},
          .layout = layout,
          .what = "1x1x1"};
}

void expect_both(const ConvolutionRun& run, const Extras& extras = {},
                 const GradExtras& grad_extras = {}) {
  expect_forward(run, extras);
  expect_grad_input(run, grad_extras);
}

ConvolutionRun as_tf32(ConvolutionRun run) {
  run.options.tf32 = true;
  return run;
}

TEST(Conv3dPointwiseDevice, AllTypes) {
  for (Dtype type : device_types) expect_both(ragged(type, 37), all_extras, all_grad_extras);
  expect_both(as_tf32(ragged(Dtype::f32, 37)), all_extras, all_grad_extras);
}

/// Forward by so many stages, on the GPUs whose shared memory holds them.
void expect_by_stages(ConvolutionRun run, int stages) {
  run.plan.stages = stages;
  const kernels::Conv3dPlanScope scope(run.plan);
  const std::vector<Array> arrays{
      random_array(run.x, run.type, 1), random_array(run.w, run.type, 2),
      Array(kernels::conv3d_output(run.options, run.x, run.w), run.type)};
  const auto pass = [&](const kernels::Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.forward(s, run.options, v[0], v[1], v[2], {});
    };
  };
  const Array expected = on_host(arrays, pass(kernels::conv3d_reference)).back();
  for (const DeviceRun& device : device_runs()) {
    const std::shared_ptr<void> inside = device.enter();
    if (device.runtime->gpu().shared_per_block < 200 << 10) continue;
    const Array y = on_device(device, arrays, pass(conv3d_here())).back();
    // As expect_forward has it.
    const double bound = 1e-5 + (kernels::is_narrow(run.type) ? epsilon_of(run.type) : 0);
    EXPECT_LE(error(y, expected), bound)
        << run.x << ' ' << run.type << ", " << stages << " stages, " << device.name;
  }
}

/// One step of the depth, two, and three, by rings whose stages they divide, so that the weights
/// stay, and do not.
TEST(Conv3dPointwiseDevice, WeightsThatStayAndOthers) {
  for (int64_t steps : {1, 2, 3})
    for (int stages : {2, 3, 4, 5}) {
      if (small() && steps + stages != 5) continue;
      expect_by_stages(ragged(Dtype::bf16, 64 * steps - 10), stages);
      expect_by_stages(ragged(Dtype::f32, 32 * steps - 3), stages);
    }
}

TEST(Conv3dPointwiseDevice, AnyLayout) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided}) {
    expect_both(ragged(Dtype::f16, 72, layout), all_extras, all_grad_extras);
    expect_both(ragged(Dtype::f32, 36, layout), all_extras, all_grad_extras);
  }
  expect_both(as_tf32(ragged(Dtype::f32, 36, Layout::odd_slice)));
}

/// Forward skips pixels; grad_input writes those that no result reads: phases without a sum.
TEST(Conv3dPointwiseDevice, Strides) {
  for (Dtype type : {Dtype::bf16, Dtype::f32}) {
    ConvolutionRun run = ragged(type, 40);
    run.options.stride = {1, 2, 2};
    expect_both(run, all_extras, all_grad_extras);
    expect_grad_input(run);
    run.options.stride = {2, 3, 20};
    run.layout = Layout::odd_slice;
    expect_both(run, {}, {.accumulate = true});
  }
}

TEST(Conv3dPointwiseDevice, Groups) {
  for (Dtype type : {Dtype::f16, Dtype::f32}) {
    ConvolutionRun run = ragged(type, 24);
    run.options.groups = 3;
    run.w = {75, 1, 1, 1, 8};
    expect_both(run, all_extras, all_grad_extras);
  }
}

/// Each pixel is read and written once; weights that stay are read for each stage of a block, of
/// which 4 multiprocessors have 8.
TEST(Conv3dPointwiseDevice, TrafficIsThatOfTheTensors) {
  const Shape x{1, 1, 50, 100, 64}, w{16, 1, 1, 1, 64}, y{1, 1, 50, 100, 16};
  kernels::Conv3dOverride plan = ragged(Dtype::bf16, 64).plan;
  plan.stages = 3;
  const kernels::Conv3dPlanScope scope(plan);
  const int64_t wide = x.size() * 2, narrow = y.size() * 2, weights = 8 * 3 * w.size() * 2;
  expect_traffic(
      {random_array(x, Dtype::bf16), random_array(w, Dtype::bf16), Array(y, Dtype::bf16)},
      [](Stream s, const std::vector<View>& v) {
        conv3d_here().forward(s, {}, v[0], v[1], v[2], {});
      },
      {.read = wide + weights, .written = narrow}, "forward");
  expect_traffic(
      {random_array(y, Dtype::bf16), random_array(w, Dtype::bf16), Array(x, Dtype::bf16)},
      [](Stream s, const std::vector<View>& v) {
        conv3d_here().grad_input(s, {}, v[0], v[1], v[2], {});
      },
      {.read = narrow + weights, .written = wide}, "grad_input");
}

TEST(Conv3dPointwiseDevice, Edges) {
  const kernels::Conv3dOverride plan = ragged(Dtype::f32, 1).plan;
  for (Dtype type : device_types)
    for (const auto& [x, w] : {std::pair<Shape, Shape>{{0, 2, 3, 3, 4}, {5, 1, 1, 1, 4}},
                               {{1, 2, 3, 3, 0}, {4, 1, 1, 1, 0}},
                               {{1, 2, 3, 3, 4}, {0, 1, 1, 1, 4}},
                               {{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}},
                               {{1, 1, 1, 200, 1}, {1, 1, 1, 1, 1}}})
      expect_both({.x = x, .w = w, .type = type, .plan = plan, .what = "edge"});
}

}  // namespace
}  // namespace kinema::test
