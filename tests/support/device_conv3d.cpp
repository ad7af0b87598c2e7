#include <sstream>
#include "tests/support/conv3d_device.h"
#include "tests/support/device_conv3d_tiles.h"
#include "tests/support/tf32.h"

namespace kinema::test {

using kernels::Conv3d, kernels::Conv3dEpilogue, kernels::Conv3dGradEpilogue, kernels::Conv3dPass;

ConvolutionRun run_of(const kernels::Conv3dCase& c, Dtype type, const kernels::Conv3dOverride& plan,
                      Layout layout) {
  return {.options = c.options,
          .x = c.x,
          .w = c.w,
          .type = type,
          .plan = plan,
          .layout = layout,
          .what = c.what};
}

const Conv3d& conv3d_here() {
  return device_runs().front().backend == Backend::cuda ? kernels::conv3d_cuda
                                                        : kernels::conv3d_emulated;
}

namespace {

constexpr double sum_bound = 1e-5;  // the design's for f32

/// What the last array gets: by how much TF32 changes it, which rounds the factors, arrays 0 and 1.
double tf32_error(const std::vector<Array>& arrays, const Pass& pass) {
  std::vector<Array> narrow = arrays;
  for (size_t i : {0u, 1u}) narrow[i] = rounded_to_tf32(arrays[i]);
  return 2 * error(on_host(narrow, pass).back(), on_host(arrays, pass).back());
}

struct Tensors {
  explicit Tensors(const ConvolutionRun& r)
      : x(random_array(r.x, r.type, 1, -1, 1, r.layout_of_x.value_or(r.layout))),
        w(random_array(r.w, r.type, 2)) {
    const Shape y_shape = kernels::conv3d_output(r.options, r.x, r.w);
    y = random_array(y_shape, r.type, 3, -1, 1, r.layout);
  }
  Array x, w, y{Shape{0}, Dtype::f32};
};

double bound_of(const ConvolutionRun& r, const std::vector<Array>& arrays, const Pass& pass) {
  const bool cut = r.type == Dtype::f32 && r.options.tf32;
  return sum_bound + (cut ? tf32_error(arrays, pass) : 0);
}

/// The problem's text, which a benchmark or a plan can be asked for, and what of the run is
/// unusual.
std::string name_of_run(Conv3dPass pass, const ConvolutionRun& r) {
  constexpr const char* layouts[] = {"", ", odd slices", ", slices", ", strided"};
  std::ostringstream name;
  name << "conv3d " << r.what << ": "
       << kernels::conv3d_fresh_problem(pass, r.options, r.x, r.w, r.type)
       << layouts[int(r.layout)];
  if (r.plan.algorithm >= 0) name << ", " << name_of(kernels::Conv3dAlgorithm(r.plan.algorithm));
  if (r.plan.columns) name << ", " << r.plan.columns << " columns";
  if (r.plan.stages) name << ", " << r.plan.stages << " stages";
  if (r.plan.splits) name << ", " << r.plan.splits << " splits";
  return name.str();
}

/// A pass of a backend in a run of the device; on the host the run is not given.
using PassOf = std::function<Pass(const Conv3d&, const DeviceRun*)>;

/// The last array is the result.
void expect(const std::string& name, const ConvolutionRun& r, const std::vector<Array>& arrays,
            const PassOf& pass) {
  const Pass reference = pass(kernels::conv3d_reference, nullptr);
  std::vector<double> bounds(arrays.size(), input);
  bounds.back() = bound_of(r, arrays, reference);
  const kernels::Conv3dPlanScope scope(r.plan);
  expect_matches(
      arrays, reference, [&](const DeviceRun& run) { return pass(conv3d_here(), &run); }, bounds,
      name, r.runs);
}

}  // namespace

bool plan_suits(const ConvolutionRun& r, Conv3dPass pass) {
  const Tensors t(r);
  const kernels::Conv3dPlanScope scope(r.plan);
  for (const DeviceRun& run : r.runs) {
    const std::shared_ptr<void> inside = run.enter();
    const auto plan = [&] { conv3d_here().tiles(pass, r.options, t.x.view, t.w.view, t.y.view); };
    if (!refusal_of(plan).empty()) return false;
  }
  return true;
}

void expect_forward(const ConvolutionRun& r, const Extras& extras) {
  const Tensors t(r);
  const Shape channels{r.w[0]};
  const std::vector<Array> arrays{t.x,
                                  t.w,
                                  random_array(channels, Dtype::f32, 4),
                                  random_array(channels, Dtype::f32, 5, 0.5, 2),
                                  random_array(channels, Dtype::f32, 6),
                                  random_array(t.y.view.shape, r.type, 7, -1, 1, r.layout),
                                  Array(t.y.view.shape, r.type, r.layout)};
  const std::string name = name_of_run(Conv3dPass::forward, r);
  TileCheck tiles(name, arrays.back(), {0, 3, r.w[0]}, expect_statistics);
  expect(name, r, arrays, [&](const Conv3d& op, const DeviceRun* run) -> Pass {
    return [&, run](Stream s, const std::vector<View>& v) {
      Conv3dEpilogue e{.relu = extras.relu};
      if (extras.bias) e.bias = v[2];
      if (extras.scale) e.scale = v[3];
      if (extras.scale || extras.shift) e.shift = v[4];
      if (extras.residual) e.residual = v[5];
      const auto pass = [&](const View& partials) {
        e.partials = partials;
        op.forward(s, r.options, v[0], v[1], v[6], e);
      };
      if (!run || !extras.partials) return pass({});
      tiles.run(*run, s, op.tiles(Conv3dPass::forward, r.options, v[0], v[1], v[6]), v[6], pass);
    };
  });
}

/// What a ReLU gives: half of it is 0.
static Array through_relu(Array a) {
  std::vector<double> values = a.values();
  for (double& v : values) v = std::max(v, 0.0);
  a.set(values);
  return a;
}

void expect_grad_input(const ConvolutionRun& r, const GradExtras& extras) {
  const Tensors t(r);
  const Array z = random_array(r.x, r.type, 6, -1, 1, r.layout),
              mean = random_array({r.x[4]}, Dtype::f32, 7);
  const std::vector<Array> arrays{t.y,
                                  t.w,
                                  through_relu(random_array(r.x, r.type, 4, -1, 1, r.layout)),
                                  z,
                                  mean,
                                  extras.accumulate ? random_array(r.x, r.type, 5, -1, 1, r.layout)
                                                    : Array(r.x, r.type, r.layout)};
  const std::string name = name_of_run(Conv3dPass::grad_input, r);
  TileCheck tiles(name, arrays.back(), {0, 2, r.x[4]},
                  [&](const Array& left, const Array& dx, const std::string& what) {
                    expect_sums(left, dx, z, mean, what);
                  });
  expect(name, r, arrays, [&](const Conv3d& op, const DeviceRun* run) -> Pass {
    return [&, run](Stream s, const std::vector<View>& v) {
      Conv3dGradEpilogue e{.accumulate = extras.accumulate};
      if (extras.mask) e.mask = v[2];
      const auto pass = [&](const View& sums) {
        e.sums = sums;
        e.z = sums ? v[3] : View{};
        e.mean = sums ? v[4] : View{};
        op.grad_input(s, r.options, v[0], v[1], v[5], e);
      };
      if (!run || !extras.sums) return pass({});
      tiles.run(*run, s, op.tiles(Conv3dPass::grad_input, r.options, v[5], v[1], v[0]), v[5], pass);
    };
  });
}

void expect_grad_weight(const ConvolutionRun& r, bool accumulate) {
  const Tensors t(r);
  const std::vector<Array> arrays{
      t.x, t.y, accumulate ? random_array(r.w, Dtype::f32, 4) : Array(r.w, Dtype::f32)};
  expect(name_of_run(Conv3dPass::grad_weight, r), r, arrays,
         [&](const Conv3d& op, const DeviceRun*) -> Pass {
           return [&](Stream s, const std::vector<View>& v) {
             op.grad_weight(s, r.options, v[0], v[1], v[2], accumulate);
           };
         });
}

}  // namespace kinema::test
