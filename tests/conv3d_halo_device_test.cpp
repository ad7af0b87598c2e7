#include <algorithm>
#include <limits>
#include <random>
#include "kernels/conv3d/conv3d_plan.h"
#include "tests/support/conv3d_device.h"

namespace kinema::test {
namespace {

using kernels::Conv3d, kernels::Conv3dAlgorithm, kernels::Conv3dOptions, kernels::Conv3dOverride,
    kernels::Conv3dPass, kernels::Conv3dPlan;

constexpr Conv3dOverride halo{.algorithm = int(Conv3dAlgorithm::halo)};
constexpr std::array<int64_t, 3> none = {0, 0, 0}, ones = {1, 1, 1};

/// A layer of stride 1 that sums over `in` channels and makes `out`: forward from x to y,
/// grad_input from dy, of so many pixels as x has there, to dx.
struct Layer {
  std::string what;
  Shape pixels;  ///< N, T, H, W of x
  std::array<int64_t, 3> taps, front = none, back = none, dilation = ones;
  int64_t in = 8, out = 8;
};

// Boxes that are not full, several boxes, chunks of channels and tiles of columns; all kinds of
// windows; h and w as one axis or two.
const Layer layers[] = {
    {"one pixel", {1, 1, 1, 1}, {1, 1, 2}, none, {0, 0, 1}},
    {"1x3x3", {1, 2, 9, 19}, {1, 3, 3}, {0, 1, 1}, {0, 1, 1}, ones, 72, 70},
    {"3x1x1", {2, 5, 5, 9}, {3, 1, 1}, {1, 0, 0}, {1, 0, 0}, ones, 40, 64},
    {"3x3x3", {1, 3, 5, 9}, {3, 3, 3}, ones, ones, ones, 20, 130},
    {"5x1x1, few", {1, 6, 3, 12}, {5, 1, 1}, {2, 0, 0}, {2, 0, 0}, ones, 8, 32},
    {"1x1x5, few", {2, 2, 3, 7}, {1, 1, 5}, {0, 0, 2}, {0, 0, 2}, ones, 16, 10},
    {"dilations", {1, 4, 7, 9}, {2, 3, 2}, {1, 2, 0}, {0, 1, 3}, {1, 2, 3}, 24, 65},
    {"1x3x3 to 3 channels", {1, 1, 20, 17}, {1, 3, 3}, {0, 1, 1}, {0, 1, 1}, ones, 96, 3},
    {"3x3x3, few", {1, 5, 3, 9}, {3, 3, 3}, ones, ones, ones, 72, 16},
    {"causal, few", {1, 4, 4, 10}, {3, 1, 1}, {2, 0, 0}, none, ones, 64, 24},
    {"nothing but padding", {1, 1, 1, 2}, {2, 3, 1}, {3, 4, 0}, {3, 0, 0}, ones, 9, 5},
    {"frames that taps skip", {1, 3, 1, 3}, {3, 1, 2}, {2, 0, 1}, {2, 0, 0}, {2, 1, 2}, 8, 8}};

ConvolutionRun run_of(const Layer& l, Conv3dPass pass, Dtype type, Layout layout = Layout::fresh,
                      const Conv3dOverride& plan = halo) {
  const bool forward = pass == Conv3dPass::forward;
  const Shape& p = l.pixels;
  const int64_t c = forward ? l.in : l.out;
  ConvolutionRun run{.x = {p[0], p[1], p[2], p[3], c},
                     .w = {forward ? l.out : l.in, l.taps[0], l.taps[1], l.taps[2], c},
                     .type = type,
                     .plan = plan,
                     .layout = layout,
                     .what = l.what};
  run.options.dilation = l.dilation;
  run.options.pad_front = l.front;
  run.options.pad_back = l.back;
  run.options.tf32 = type == Dtype::f32;
  return run;
}

TEST(Conv3dHaloDevice, ForwardIsTheReferences) {
  int i = 0;
  for (const Layer& l : layers)
    expect_forward(run_of(l, Conv3dPass::forward, device_types[i++ % 3]), all_extras);
}

TEST(Conv3dHaloDevice, GradInputIsTheReferences) {
  int i = 1;
  for (const Layer& l : layers)
    if (l.out > 4)  // else rows of the filter are not aligned
      expect_grad_input(run_of(l, Conv3dPass::grad_input, device_types[i++ % 3]), all_grad_extras);
}

// Each kernel with each type: few columns, those that 48 and those that 64 divide.
TEST(Conv3dHaloDevice, TypesAndParts) {
  const Layer few{"", {1, 5, 1, 5}, {2, 1, 2}, none, none, ones, 8, 8};
  Layer of_48{"", {1, 1, 3, 5}, {1, 2, 2}, none, none, ones, 8, 40}, of_64 = of_48;
  of_64.out = 64;
  for (const Layer& l : {few, of_48, of_64})
    for (const Dtype type : device_types) {
      const ConvolutionRun forward = run_of(l, Conv3dPass::forward, type);
      expect_forward(forward);
      expect_forward(forward, {.bias = true, .partials = true});
      const ConvolutionRun grad = run_of(l, Conv3dPass::grad_input, type);
      expect_grad_input(grad);
      expect_grad_input(grad, {.accumulate = true, .sums = true});
    }
}

TEST(Conv3dHaloDevice, SlicesAndStrides) {
  for (const Layout layout : {Layout::slice, Layout::strided}) {
    for (const Layer& l : {layers[2], layers[5]}) {
      expect_forward(run_of(l, Conv3dPass::forward, Dtype::bf16, layout), all_extras);
      expect_grad_input(run_of(l, Conv3dPass::grad_input, Dtype::f16, layout), all_grad_extras);
    }
  }
}

// More tiles than blocks run at once, so that a block makes several; all columns and stages.
TEST(Conv3dHaloDevice, BlocksTakeSeveralBoxes) {
  const Layer rows{"18 rows", {6, 3, 1, 20}, {1, 1, 2}, none, none, ones, 8, 8};
  for (const int stages : {2, 3, 8}) {
    Conv3dOverride plan = halo;
    plan.stages = stages;
    expect_forward(run_of(rows, Conv3dPass::forward, Dtype::bf16, Layout::fresh, plan), all_extras);
  }
  const Layer columns{"70 columns", {2, 2, 1, 9}, {1, 1, 2}, none, none, ones, 8, 70};
  for (const int wanted : {32, 48, 64, 96, 128}) {
    Conv3dOverride plan = halo;
    plan.columns = wanted;
    expect_forward(run_of(columns, Conv3dPass::forward, Dtype::f16, Layout::fresh, plan),
                   all_extras);
    expect_grad_input(run_of(columns, Conv3dPass::grad_input, Dtype::f32, Layout::fresh, plan),
                      all_grad_extras);
  }
}

// What is not finite reaches the pixels whose taps read it, and no other.
TEST(Conv3dHaloDevice, NotFinite) {
  const Layer l{"", {1, 3, 4, 9}, {1, 3, 3}, {0, 1, 1}, {0, 1, 1}, ones, 20, 12};
  const ConvolutionRun run = run_of(l, Conv3dPass::forward, Dtype::bf16);
  Array x = random_array(run.x, run.type);
  std::vector<double> values = x.values();
  values[19] = std::numeric_limits<double>::quiet_NaN();
  values[values.size() - 3] = std::numeric_limits<double>::infinity();
  x.set(values);
  const kernels::Conv3dPlanScope scope(run.plan);
  const auto pass = [&](const Conv3d& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      op.forward(s, run.options, v[0], v[1], v[2], {});
    };
  };
  expect_op_matches(kernels::conv3d_reference, &kernels::conv3d_cuda, &kernels::conv3d_emulated,
                    {x, random_array(run.w, run.type, 2), {{1, 3, 4, 9, 12}, run.type}}, pass,
                    {input, input, 1e-5}, "not finite");
}

// Taps, dilations, unequal paddings and channels by chance; each in one of the runs that have much
// shared memory.
TEST(Conv3dHaloDevice, RandomLayers) {
  std::mt19937_64 random(5);
  const auto draw = [&](int64_t low, int64_t high) {
    return low + int64_t(random() % uint64_t(high - low + 1));
  };
  for (size_t i = 0; i < (small() ? 4 : 20); ++i) {
    Layer l{"random", {draw(1, 2), 0, 0, 0}, ones};
    for (size_t a = 0; a < 3; ++a) {
      l.taps[a] = a == i % 3 ? draw(2, 5) : draw(1, 2);
      l.dilation[a] = draw(1, 2);
      l.front[a] = draw(0, 3);
      l.back[a] = draw(0, 3);
      const int64_t least = (l.taps[a] - 1) * l.dilation[a] + 1 - l.front[a] - l.back[a];
      l.pixels[int(a) + 1] = std::max(least, int64_t(0)) + draw(1, 4);
    }
    l.in = draw(5, 80);
    l.out = draw(5, 100);
    for (const Conv3dPass pass : {Conv3dPass::forward, Conv3dPass::grad_input}) {
      ConvolutionRun run = run_of(l, pass, device_types[draw(0, 2)]);
      run.runs = {device_runs()[i % std::min<size_t>(3, device_runs().size())]};
      if (pass == Conv3dPass::forward)
        expect_forward(run, all_extras);
      else
        expect_grad_input(run, all_grad_extras);
    }
  }
}

/// On a GPU clips lie 2^31 elements and some apart, so that offsets pass 2^32.
TEST(Conv3dHaloDevice, ClipsLieAnyDistanceApart) {
  const DeviceRun& run = device_runs().front();
  const int64_t apart = run.backend == Backend::cuda ? (int64_t(1) << 31) + 8 : 4096;
  const Conv3dOptions options{.pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}};
  const Array x = random_array({3, 2, 6, 7, 8}, Dtype::bf16, 1),
              w = random_array({16, 1, 3, 3, 8}, Dtype::bf16, 2), y({3, 2, 6, 7, 16}, Dtype::bf16);
  const std::shared_ptr<void> inside = run.enter();
  const auto allocate = [&](int64_t bytes) {
    return std::shared_ptr<void>(run.runtime->allocate(bytes), run.runtime->release);
  };
  const auto memory = allocate(3 * apart * 2), filter = allocate(int64_t(w.memory->size()));
  // Clips of y lie behind those of x.
  const auto spread = [&](const Array& a, int64_t first) {
    View v = a.view;
    v.data = static_cast<char*>(memory.get()) + first * 2;
    v.strides[0] = apart;
    return v;
  };
  const auto clip = [](const View& v, int64_t n) { return v.slice(0, n, 1).data; };
  const View from = spread(x, 0), to = spread(y, 1024);
  for (int64_t n = 0; n < 3; ++n)
    run.runtime->upload({}, clip(x.view, n), clip(from, n), x.view.stride(0) * 2);
  View weights = w.view;
  weights.data = filter.get();
  run.runtime->upload({}, w.memory->data(), weights.data, int64_t(w.memory->size()));
  const kernels::Conv3dPlanScope scope(halo);
  conv3d_here().forward({}, options, from, weights, to, {});
  run.runtime->synchronize({});
  Array got = y.clone();
  for (int64_t n = 0; n < 3; ++n)
    run.runtime->download({}, clip(to, n), clip(got.view, n), y.view.stride(0) * 2);
  const Array wanted = on_host({x, w, y}, [&](Stream s, const std::vector<View>& v) {
                         kernels::conv3d_reference.forward(s, options, v[0], v[1], v[2], {});
                       }).back();
  EXPECT_LE(error(got, wanted), 1e-5 + epsilon_of(Dtype::bf16));
}

TEST(Conv3dHaloDevice, NoBankConflicts) {
  for (const Layer& l : {layers[1], layers[3], layers[8], layers[9]})
    for (const Dtype type : {Dtype::bf16, Dtype::f32}) {
      ConvolutionRun forward = run_of(l, Conv3dPass::forward, type),
                     grad = run_of(l, Conv3dPass::grad_input, type);
      forward.runs = grad.runs = {device_runs().front()};
      EXPECT_EQ(bank_conflicts([&] { expect_forward(forward); }), 0) << l.what;
      EXPECT_EQ(bank_conflicts([&] { expect_grad_input(grad); }), 0) << l.what;
    }
}

TEST(Conv3dHaloDevice, Refuses) {
  const auto refusal = [](const Layer& l, auto change) {
    ConvolutionRun run = run_of(l, Conv3dPass::forward, Dtype::bf16);
    change(run);
    return refusal_of([&] { expect_forward(run); });
  };
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find("conv3d: halo takes " + part), std::string::npos) << text;
  };
  const Layer& l = layers[1];
  expect(refusal(l, [](auto& run) { run.options.stride = {1, 2, 1}; }), "stride=1,1,1");
  expect(refusal(l, [](auto& run) { run.w = {64, 1, 1, 1, 72}; }), "filters of several taps");
  expect(refusal(l, [](auto& run) { run.w[4] = 36, run.options.groups = 2; }), "groups=1");
  expect(refusal(l, [](auto& run) { run.type = Dtype::f32; }), "type=bf16, f16 or tf32");
  expect(refusal(l, [](auto& run) { run.layout = Layout::odd_slice; }), "rows on multiples of 16");
}

}  // namespace
}  // namespace kinema::test
