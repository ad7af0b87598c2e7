#include <iostream>
#include "tests/support/conv3d_sample.h"

// Shapes that nobody thought of: channels 1 to 200, taps 1 to 7, strides and dilations 1 to 3,
// groups, unequal paddings, slices, steps in time, all types, any parts of the epilogues, and plans
// that nobody would choose.

namespace kinema::test {
namespace {

using kernels::Conv3dPass;

int shapes() { return watched() ? 30 : 300; }
/// Products of a pass, or those of one pixel.
double flop_of_pass() { return watched() ? 0.5e6 : 2e6; }

void draw_channels(Draw& draw, ConvolutionRun& r) {
  int64_t c = draw.from(1, 200), k = draw.from(1, 200), groups = 1;
  if (draw.chance(15)) {  // depthwise, one filter a channel or two
    groups = c = draw.from(1, 100);
    k = c * draw.from(1, 2);
  } else if (draw.chance(30)) {
    groups = draw.from(2, 8);
    c = groups * draw.from(1, 200 / groups);
    k = groups * draw.from(1, 200 / groups);
  }
  r.options.groups = groups;
  r.x = {1, 1, 1, 1, c};
  r.w = {k, 1, 1, 1, c / groups};
}

/// Weights as the general kernel multiplies them: 32 columns by 64 deep at least, for each group.
int64_t padded_weights(const ConvolutionRun& r) {
  const int64_t groups = r.options.groups, taps = r.w[1] * r.w[2] * r.w[3];
  return groups * taps * kernels::round_up(r.w[0] / groups, 32) * kernels::round_up(r.w[4], 64);
}

// A tile of sums has 128 pixels or more however few of them there are: a million weights take the
// emulation a second. So most layers have few taps if they have many channels; depthwise ones,
// which have kernels of their own, may have any.
constexpr int64_t some_weights = 60'000, many_weights = 400'000;

void draw_geometry(Draw& draw, ConvolutionRun& r) {
  constexpr int64_t usual_taps[] = {1, 1, 3, 3, 2, 4, 5, 7};
  const int64_t most = draw.chance(10) ? many_weights : some_weights;
  for (int i = 0; i < 3; ++i) {
    const size_t a = size_t(i);
    r.w[1 + i] = draw.chance(70) ? draw.of(usual_taps) : draw.from(1, 7);
    while (r.w[4] > 1 && padded_weights(r) > most && r.w[1 + i] > 1) --r.w[1 + i];
    r.options.stride[a] = draw.chance(50) ? 1 : draw.from(1, 3);
    r.options.dilation[a] = draw.chance(70) ? 1 : draw.from(1, 3);
    const int64_t reach = (r.w[1 + i] - 1) * r.options.dilation[a] + 1;
    r.options.pad_front[a] = draw.from(0, std::min<int64_t>(reach, 4));
    r.options.pad_back[a] =
        draw.chance(50) ? r.options.pad_front[a] : draw.from(0, std::min<int64_t>(reach, 4));
  }
  r.x = shrunk_input(r.options, r.w,
                     {draw.from(1, 3), draw.from(1, 5), draw.from(1, 20), draw.from(1, 40)},
                     flop_of_pass());
  // Rows and columns that no result reads.
  for (int i = 0; i < 3; ++i) r.x[1 + i] += draw.from(0, r.options.stride[size_t(i)] - 1);
}

ConvolutionRun draw_run(Draw& draw) {
  constexpr Layout layouts[] = {Layout::fresh, Layout::fresh, Layout::odd_slice, Layout::slice,
                                Layout::strided};
  ConvolutionRun r{.what = "random"};
  draw_channels(draw, r);
  draw_geometry(draw, r);
  r.options.tf32 = draw.chance(25);
  r.type = r.options.tf32 ? Dtype::f32 : draw.of(device_types);
  r.layout = draw.of(layouts);
  r.runs = {device_runs()[size_t(draw.from(0, int64_t(device_runs().size()) - 1))]};
  return r;
}

/// A plan that suits, of a few tried; else the plan's own, as where the general kernel is slow.
kernels::Conv3dOverride draw_plan(Draw& draw, ConvolutionRun r, Conv3dPass pass) {
  constexpr int columns[] = {0, 32, 64, 128};
  for (int tries = 0; tries < 4 && padded_weights(r) <= many_weights; ++tries) {
    const int most = kernels::conv3d_algorithms - 1;
    r.plan = {.algorithm = int(draw.chance(50) ? -1 : draw.from(0, most)),
              .columns = draw.of(columns),
              .stages = int(draw.chance(50) ? 0 : draw.from(2, 5)),
              .splits = int(draw.chance(50) ? 0 : draw.from(1, 4))};
    if (plan_suits(r, pass)) return r.plan;
  }
  return {};
}

TEST(Conv3dRandomDevice, AllPassesOfAnyShape) {
  Draw draw(sampling_seed());
  int chosen = 0;
  for (int i = 0; i < shapes(); ++i) {
    ConvolutionRun r = draw_run(draw);
    const auto plan = [&](Conv3dPass pass) {
      r.plan = draw_plan(draw, r, pass);
      chosen += !(r.plan == kernels::Conv3dOverride{});
    };
    const auto maybe = [&] { return draw.chance(50); };
    plan(Conv3dPass::forward);
    expect_forward(r, {.bias = maybe(),
                       .scale = maybe(),
                       .residual = maybe(),
                       .relu = maybe(),
                       .partials = maybe(),
                       .shift = maybe()});
    plan(Conv3dPass::grad_input);
    expect_grad_input(r, {.accumulate = maybe(), .mask = maybe(), .sums = maybe()});
    plan(Conv3dPass::grad_weight);
    expect_grad_weight(r, maybe());
    if (testing::Test::HasFailure()) FAIL() << "shape " << i << ", the first that failed";
  }
  std::cout << chosen << " of " << 3 * shapes() << " passes by a plan other than its own choice\n";
}

}  // namespace
}  // namespace kinema::test
