#include <cmath>
#include <limits>
#include "tests/support/conv3d_device.h"

// grad_weight by the kernels that take every problem: conv3d_grad_weight*.cu.

namespace kinema::test {
namespace {

using kernels::Conv3d, kernels::Conv3dCase, kernels::Conv3dOptions, kernels::Conv3dOverride,
    kernels::conv3d_output;

constexpr int gemm = int(kernels::Conv3dAlgorithm::gemm);

/// Tiles: 64 x 64, 128 x 128, for 16-bit types 64 x 256.
std::vector<int> columns_of(Dtype type) {
  return kernels::is_narrow(type) ? std::vector{64, 128, 256} : std::vector{64, 128};
}
Conv3dOverride plan(int columns, int stages = 0, int splits = 0) {
  return {.algorithm = gemm, .columns = columns, .stages = stages, .splits = splits};
}

/// Ragged in all that there is: channels, pixels, taps, groups, what the tap reads.
const Conv3dCase ragged = {"ci",
                           "ragged",
                           {2, 5, 7, 9, 26},
                           {38, 2, 3, 3, 13},
                           {.stride = {1, 2, 1},
                            .dilation = {2, 1, 2},
                            .pad_front = {2, 0, 1},
                            .pad_back = {0, 1, 2},
                            .groups = 2}};
/// Less than one tile, and more either way.
const Conv3dCase few = {"ci", "less than a tile", {1, 2, 7, 8, 24}, {40, 1, 2, 1, 24}, {}},
                 many = {"ci", "many tiles", {2, 2, 6, 7, 40}, {136, 1, 2, 4, 40}, {}};

double work(const Conv3dCase& c) {
  return double(conv3d_output(c.options, c.x, c.w).size()) * double(c.w.size()) / double(c.w[0]);
}

/// x, dy and dw lie as they say; dw within `bound` of the reference.
void expect_sums(const ConvolutionRun& r, const Array& x, const Array& dy, const Array& dw,
                 bool accumulate, double bound) {
  const kernels::Conv3dPlanScope scope(r.plan);
  expect_op_matches(
      kernels::conv3d_reference, &kernels::conv3d_cuda, &kernels::conv3d_emulated, {x, dy, dw},
      [&](const Conv3d& op) -> Pass {
        return [&](Stream s, const std::vector<View>& v) {
          op.grad_weight(s, r.options, v[0], v[1], v[2], accumulate);
        };
      },
      {input, input, bound}, r.what);
}

TEST(Conv3dGradWeightDevice, MatchesTheReference) {
  int number = 0;
  for (const Conv3dCase& c : kernels::conv3d_cases) {
    if (std::string(c.tag) != "ci" || work(c) > (small() ? 5e5 : 1.5e6)) continue;
    const Dtype type = device_types[++number % 3];
    expect_grad_weight(run_of(c, type, plan(0)), number % 2);
  }
  for (const Conv3dCase& c : {ragged, few, many})
    for (Dtype type : device_types)
      for (int columns : columns_of(type)) expect_grad_weight(run_of(c, type, plan(columns)));
}

/// 128 x 256, where K fills as many rows; not on the GPU of little shared memory.
TEST(Conv3dGradWeightDevice, TheLargestTilesMatchTheReference) {
  const DeviceRun& run = device_runs().front();
  for (Dtype type : {Dtype::bf16, Dtype::f16})
    for (Layout layout : {Layout::fresh, Layout::odd_slice}) {
      const Conv3dOptions options{.stride = {1, 1, 2}, .pad_front = {0, 1, 1}};
      const Shape x{2, 2, 6, 7, 40}, w{126, 1, 3, 3, 40};
      const std::vector<Array> arrays{
          random_array(x, type, 1, -1, 1, layout),
          random_array(conv3d_output(options, x, w), type, 2, -1, 1, layout), Array(w, Dtype::f32)};
      const auto pass = [&](const Conv3d& op) -> Pass {
        return [&](Stream s, const std::vector<View>& v) {
          op.grad_weight(s, options, v[0], v[1], v[2], false);
        };
      };
      const kernels::Conv3dPlanScope scope(plan(256, 2));
      Array got = arrays.back();
      EXPECT_EQ(bank_conflicts([&] { got = on_device(run, arrays, pass(conv3d_here())).back(); }),
                0);
      EXPECT_LE(error(got, on_host(arrays, pass(kernels::conv3d_reference)).back()), 1e-5);
    }
}

TEST(Conv3dGradWeightDevice, TakesEveryLayout) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    for (Dtype type : device_types) {
      expect_grad_weight(run_of(ragged, type, plan(64), layout));
      expect_grad_weight(run_of(few, type, plan(64), layout), true);
    }
}

TEST(Conv3dGradWeightDevice, OfOneTapWithoutPadding) {
  const Conv3dCase dense = {"ci", "1x1x1", {2, 3, 5, 7, 40}, {24, 1, 1, 1, 40}, {}},
                   groups = {"ci",
                             "1x1x1 of groups",
                             {2, 3, 5, 7, 36},
                             {6, 1, 1, 1, 12},
                             {.groups = 3}},
                   steps = {"ci",
                            "1x1x1 of every other pixel",
                            {2, 3, 6, 7, 24},
                            {8, 1, 1, 1, 24},
                            {.stride = {1, 2, 2}}},
                   behind = {"ci",
                             "1x1x1 padded behind",
                             {2, 3, 4, 5, 8},
                             {8, 1, 1, 1, 8},
                             {.stride = {1, 1, 2}, .pad_back = {0, 0, 4}}},
                   wider = {"ci",
                            "1x1x1 of more pixels than x has",
                            {2, 3, 4, 5, 8},
                            {8, 1, 1, 1, 8},
                            {.pad_back = {0, 0, 2}}};
  for (const Conv3dCase& c : {dense, groups, steps, behind, wider})
    for (Layout layout : {Layout::fresh, Layout::odd_slice, Layout::strided})
      for (Dtype type : {Dtype::f32, Dtype::bf16})
        expect_grad_weight(run_of(c, type, plan(64), layout));
}

TEST(Conv3dGradWeightDevice, SplitsAndStagesLeaveTheSumsRight) {
  const Conv3dCase pixels = {"ci", "many steps", {2, 1, 25, 26, 9}, {10, 1, 1, 2, 9}, {}};
  for (Dtype type : device_types) {
    for (int stages : {2, 3, 4}) expect_grad_weight(run_of(ragged, type, plan(64, stages, 2)));
    expect_grad_weight(run_of(many, type, plan(128, 2, 2)), true);
    // Threads of the second pass add up one split each, or several.
    for (int splits : {3, 19}) expect_grad_weight(run_of(pixels, type, plan(64, 3, splits)), true);
  }
}

TEST(Conv3dGradWeightDevice, Tf32RoundsNoMoreThanItsFactors) {
  for (Conv3dCase c : {ragged, few, many})
    for (int columns : columns_of(Dtype::f32)) {
      c.options.tf32 = true;
      expect_grad_weight(run_of(c, Dtype::f32, plan(columns)));
      expect_grad_weight(run_of(c, Dtype::f32, plan(columns, 2, 2), Layout::odd_slice), true);
    }
}

/// Factors three quarters of the way from 1 to the next TF32 become that; a sum of up to
/// 8 of their products is a number of f32.
TEST(Conv3dGradWeightDevice, Tf32RoundsToTheNearest) {
  const DeviceRun& run = device_runs().front();
  const Shape x{1, 1, 2, 4, 24};
  const std::vector<double> factors(size_t(x.size()), 1 + 0.75 * 0x1p-10);
  const Array in = filled_array(x, Dtype::f32, factors), dw({24, 1, 1, 1, 24}, Dtype::f32);
  for (int columns : columns_of(Dtype::f32)) {
    const kernels::Conv3dPlanScope scope(plan(columns));
    const auto pass = [](Stream s, const std::vector<View>& v) {
      conv3d_here().grad_weight(s, {.tf32 = true}, v[0], v[1], v[2], false);
    };
    for (double sum : on_device(run, {in, in, dw}, pass).back().values())
      ASSERT_EQ(sum, 8 * (1 + 0x1p-10) * (1 + 0x1p-10));
  }
}

TEST(Conv3dGradWeightDevice, WritesAnyWeights) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    for (int splits : {1, 2})
      for (bool accumulate : {false, true}) {
        ConvolutionRun r = run_of(ragged, Dtype::bf16, plan(64, 0, splits));
        const Shape y = conv3d_output(r.options, r.x, r.w);
        const Array dw = accumulate ? random_array(r.w, Dtype::f32, 3, -1, 1, layout)
                                    : Array(r.w, Dtype::f32, layout);
        expect_sums(r, random_array(r.x, r.type, 1), random_array(y, r.type, 2), dw, accumulate,
                    1e-5);
      }
}

TEST(Conv3dGradWeightDevice, NoClipsGiveZerosOrNothing) {
  const Conv3dCase none = {"ci", "no clips", {0, 2, 4, 4, 5}, {6, 1, 3, 3, 5}, {}};
  for (Dtype type : device_types)
    for (bool accumulate : {false, true})
      expect_grad_weight(run_of(none, type, plan(64)), accumulate);
}

/// The terms are positive: a sum of n rounded sums errs by 2.5e-8 sqrt(n/3) of it, as a random walk
/// (half a unit in the last place has a mean square of 0.29^2 units, a unit is 0.72 epsilon of a
/// sum on average, of whose squares those up to n add up to a third). In one run, the 2^15 pixels
/// err by 2.6e-6, in the worst of 256 sums by three times as much, 8e-6. In runs of 2048 each errs
/// by 6.5e-7 of its sixteenth; together with the sixteen sums of runs that is 2e-7, and 6e-7 in the
/// worst. 1.6 million pixels are 784 runs, so their sums err by 2.5e-8 sqrt(784/3), 4e-7, and the
/// runs by less than here: the more pixels, the better. Tensor cores, which cut off, err by up to
/// 4e-6 in a run, and so in all of them.
TEST(Conv3dGradWeightDevice, ManyPixelsAreSummedInRuns) {
  const DeviceRun& run = device_runs().front();
  const int64_t pixels = small() ? 1 << 12 : 1 << 15;
  for (Dtype type : {Dtype::f32, Dtype::bf16})
    for (int splits : {1, 3}) {
      const Shape x{1, 1, 1, pixels, 16};
      const std::vector<Array> arrays{random_array(x, type, 1, 0.5, 1.5),
                                      random_array(x, type, 2, 0.5, 1.5),
                                      random_array({16, 1, 1, 1, 16}, Dtype::f32, 3)};
      const auto pass = [](const Conv3d& op) -> Pass {
        return [&op](Stream s, const std::vector<View>& v) {
          op.grad_weight(s, {}, v[0], v[1], v[2], true);
        };
      };
      const kernels::Conv3dPlanScope scope(plan(64, 3, splits));
      const Array got = on_device(run, arrays, pass(conv3d_here())).back();
      const bool cut = run.backend == Backend::cuda && type != Dtype::f32;
      EXPECT_LE(error(got, on_host(arrays, pass(kernels::conv3d_reference)).back()),
                cut ? 1e-5 : 2e-6)
          << type << ", " << splits << " splits";
    }
}

/// On a GPU clips lie 2^31 elements and some apart, so offsets pass 2^32.
TEST(Conv3dGradWeightDevice, ClipsLieAnyDistanceApart) {
  const DeviceRun& run = device_runs().front();
  const int64_t apart = run.backend == Backend::cuda ? (int64_t(1) << 31) + 8 : 4096;
  const Conv3dOptions options{.pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}};
  const Shape w{16, 1, 3, 3, 8};
  const Array x = random_array({3, 2, 6, 7, 8}, Dtype::bf16, 1),
              dy = random_array({3, 2, 6, 7, 16}, Dtype::bf16, 2), dw(w, Dtype::f32);
  const std::shared_ptr<void> inside = run.enter();
  const auto allocate = [&](int64_t bytes) {
    return std::shared_ptr<void>(run.runtime->allocate(bytes), run.runtime->release);
  };
  const auto memory = allocate(3 * apart * 2), sums = allocate(int64_t(dw.memory->size()));
  // Clips of dy lie behind those of x.
  const auto spread = [&](const Array& a, int64_t first) {
    View v = a.view;
    v.data = static_cast<char*>(memory.get()) + first * 2;
    v.strides[0] = apart;
    for (int64_t n = 0; n < 3; ++n)
      run.runtime->upload({}, a.view.slice(0, n, 1).data, v.slice(0, n, 1).data,
                          a.view.stride(0) * 2);
    return v;
  };
  View to = dw.view;
  to.data = sums.get();
  const kernels::Conv3dPlanScope scope(plan(64));
  conv3d_here().grad_weight({}, options, spread(x, 0), spread(dy, 1024), to, false);
  Array got = dw.clone();
  run.runtime->synchronize({});
  run.runtime->download({}, sums.get(), got.memory->data(), int64_t(got.memory->size()));
  const Array wanted = on_host({x, dy, dw}, [&](Stream s, const std::vector<View>& v) {
                         kernels::conv3d_reference.grad_weight(s, options, v[0], v[1], v[2], false);
                       }).back();
  EXPECT_LE(error(got, wanted), 1e-5);
}

TEST(Conv3dGradWeightDevice, WhatNoTapReadsMayBeAnything) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (Dtype type : device_types) {
    const ConvolutionRun r = {.options = {.stride = {1, 2, 2}},
                              .x = {2, 2, 7, 9, 11},
                              .w = {9, 1, 2, 1, 11},
                              .type = type,
                              .plan = plan(64),
                              .what = "NaN where no tap reads"};
    std::vector<double> values = random_array(r.x, type, 1).values();
    for (size_t i = 0; i < values.size(); ++i)
      if (i / 11 % 9 % 2 == 1 || i / 99 % 7 == 6) values[i] = nan;
    const Shape y = conv3d_output(r.options, r.x, r.w);
    expect_sums(r, filled_array(r.x, type, values), random_array(y, type, 2),
                Array(r.w, Dtype::f32), false, 1e-5);
    // A tap that reads one is NaN in that channel, and no other is.
    values = random_array(r.x, type, 1).values();
    values[11 * 9 + 4] = nan;
    expect_sums(r, filled_array(r.x, type, values), random_array(y, type, 2),
                Array(r.w, Dtype::f32), false, 1e-5);
  }
}

TEST(Conv3dGradWeightDevice, LanesBehindSumsStayZeroBesideNaN) {
  for (Dtype type : device_types)
    for (int splits : {1, 2}) {
      const ConvolutionRun r = {.x = {1, 2, 8, 9, 5},
                                .w = {6, 1, 1, 1, 5},
                                .type = type,
                                .plan = plan(64, 3, splits),
                                .what = "NaN in dy"};
      std::vector<double> values = random_array({1, 2, 8, 9, 6}, type, 2).values();
      values[6 * 20 + 3] = std::numeric_limits<double>::quiet_NaN();
      expect_sums(r, random_array(r.x, type, 1), filled_array({1, 2, 8, 9, 6}, type, values),
                  Array(r.w, Dtype::f32), false, 1e-5);
    }
}

TEST(Conv3dGradWeightDevice, LdmatrixMeetsNoBankTwice) {
  for (const Conv3dCase& c : {few, many})
    for (int columns : columns_of(Dtype::bf16))
      EXPECT_EQ(bank_conflicts([&] { expect_grad_weight(run_of(c, Dtype::bf16, plan(columns))); }),
                0);
}

TEST(Conv3dGradWeightDevice, ReadsAndWritesWhatItMust) {
  // One tile: each operand once, neither their zero lanes nor their neighbours; dw once, tails
  // included. Slots of splits, of whole chunks of channels, are written once and read once.
  for (int64_t channels : {64, 41})
    for (int splits : {1, 2}) {
      const Shape x{1, 2, 20, 20, channels};
      const Array dw({channels, 1, 1, 1, channels}, Dtype::f32);
      const kernels::Conv3dPlanScope scope(plan(64, 3, splits));
      const int64_t operands = 2 * 800 * channels * 2,
                    sums = channels * kernels::round_up(channels, 4) * 4,
                    slots = splits > 1 ? splits * channels * kernels::round_up(channels, 8) * 4 : 0;
      expect_traffic(
          {random_array(x, Dtype::bf16, 1, -1, 1, Layout::slice),
           random_array(x, Dtype::bf16, 2, -1, 1, Layout::slice), dw},
          [&](Stream s, const std::vector<View>& v) {
            conv3d_here().grad_weight(s, {}, v[0], v[1], v[2], false);
          },
          {operands + slots, sums + slots}, "conv3d.grad_weight");
    }
}

}  // namespace
}  // namespace kinema::test
