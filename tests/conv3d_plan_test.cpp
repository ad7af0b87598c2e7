#include "kernels/conv3d/conv3d_plan.h"
#include <chrono>
#include <iomanip>
#include <random>
#include <sstream>
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_plan_model.h"
#include "kernels/conv3d/conv3d_suite.h"
#include "tests/support/check.h"

namespace kinema::test {

namespace {

using namespace kernels;

const Gpu gpus[] = {h200, a100, small_shared_memory, four_multiprocessors};
constexpr Conv3dPass passes[] = {Conv3dPass::forward, Conv3dPass::grad_input,
                                 Conv3dPass::grad_weight};

std::string text(const auto& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

struct Draw {
  std::mt19937_64 bits;
  int64_t operator()(int64_t least, int64_t most) {
    return least + int64_t(bits() % uint64_t(most - least + 1));
  }
};

/// C and K from 1 to 2048, taps 1..7, strides and dilations 1..3, unequal paddings, any groups.
Conv3dProblem random_problem(Draw& draw) {
  Conv3dProblem p{.pass = Conv3dPass(draw(0, 2)), .dtype = Dtype::bf16};
  Conv3dOptions& o = p.options;
  if (draw(0, 2) == 0) o.groups = draw(0, 1) ? draw(1, 8) : draw(1, 512);
  // Half of the widths are small: most of the kernels are for them.
  const int64_t most = (draw(0, 1) ? 2048 : 64) / o.groups;
  const int64_t in = draw(1, std::max<int64_t>(1, most)), out = draw(1, std::max<int64_t>(1, most));
  p.x = {draw(1, 16), 0, 0, 0, in * o.groups};
  p.w = {out * o.groups, 0, 0, 0, in};
  for (int a = 0; a < 3; ++a) {
    const size_t i = size_t(a);
    p.w[1 + a] = draw(0, 2) ? std::array{1, 3}[size_t(draw(0, 1))] : draw(1, 7);
    o.stride[i] = draw(0, 1) ? 1 : draw(1, 3);
    o.dilation[i] = draw(0, 1) ? 1 : draw(1, 3);
    o.pad_front[i] = draw(0, p.w[1 + a] - 1);
    o.pad_back[i] = draw(0, 1) ? o.pad_front[i] : draw(0, p.w[1 + a] - 1);
    const int64_t reach = (p.w[1 + a] - 1) * o.dilation[i] + 1;
    p.x[1 + a] =
        std::max<int64_t>(1, reach - o.pad_front[i] - o.pad_back[i]) + draw(0, a ? 120 : 40);
  }
  p.dtype = std::array{Dtype::bf16, Dtype::f16, Dtype::f32}[size_t(draw(0, 2))];
  o.tf32 = draw(0, 1);
  p = conv3d_fresh_problem(p.pass, o, p.x, p.w, p.dtype);
  if (draw(0, 3) == 0) p.aligned = p.frames = false;
  return p;
}

/// What every plan must be, whatever made it.
void expect_legal(const Conv3dProblem& p, const Gpu& gpu, const Conv3dPlan& plan) {
  const auto what = [&] { return text(p) + " on " + gpu.name + ": " + text(plan); };
  EXPECT_LE(plan.shared_bytes, gpu.shared_per_block) << what();
  EXPECT_TRUE(plan.threads >= 32 && plan.threads <= 1024 && plan.threads % 32 == 0) << what();
  EXPECT_GE(plan.tiles, 1) << what();
  EXPECT_GE(plan.splits, 1) << what();
  EXPECT_LE(plan.splits, 65535) << what();
  EXPECT_LE(plan.tiles, INT32_MAX / plan.splits) << what();
  EXPECT_LE(plan.workspace_bytes, conv3d_most_workspace) << what();
  EXPECT_EQ(plan.workspace_bytes > 0, plan.splits > 1) << what();
  // Splits only where the tiles alone do not fill the GPU, by what its shared memory and threads
  // hold at once (registers may hold less).
  const int64_t at_once =
      std::min<int64_t>(gpu.shared_per_multiprocessor / std::max<int64_t>(1, plan.shared_bytes),
                        gpu.threads_per_multiprocessor / std::max(1, plan.threads));
  EXPECT_TRUE(plan.splits == 1 || plan.tiles < at_once * gpu.multiprocessors) << what();
  // Each split has work: a part of the taps and chunks of channels, or of the chunks of pixels.
  const Shape y = conv3d_output(p.options, p.x, p.w);
  const bool weight = p.pass == Conv3dPass::grad_weight;
  const int64_t channels = p.pass == Conv3dPass::forward ? p.w[4] : p.w[0] / p.options.groups,
                chunks = ((weight ? y.size() / y[4] : channels) + plan.depth - 1) / plan.depth;
  EXPECT_LE(plan.splits, chunks * (weight ? 1 : p.w[1] * p.w[2] * p.w[3])) << what();
  // Tiles cover all results, and pixel tiles all pixels.
  const Shape& result = weight ? p.w : p.pass == Conv3dPass::forward ? y : p.x;
  const bool by_results = !weight || plan.algorithm == Conv3dAlgorithm::gemm;
  const double area = double(plan.rows) * plan.columns;
  EXPECT_TRUE(!by_results || double(plan.tiles) * area >= double(result.size())) << what();
  EXPECT_TRUE(weight || plan.pixel_tiles * plan.rows >= result.size() / result[4]) << what();
  EXPECT_GT(plan.waves, 0) << what();
  EXPECT_TRUE(std::isfinite(plan.predicted_us) && plan.predicted_us > 0) << what();
}

TEST(Conv3dPlan, RandomShapesAreLegalOnEveryGpu) {
  Draw draw{std::mt19937_64(5)};
  for (int i = 0; i < 10'000; ++i) {
    const Conv3dProblem p = random_problem(draw);
    for (const Gpu& gpu : gpus) expect_legal(p, gpu, conv3d_plan(p, gpu));
    if (HasFailure()) return;
  }
}

/// 10,000 plans take some 30 ms; a second is what they may take. The bound is on work that must not
/// grow without notice, generous for a busy machine and sanitizers.
TEST(Conv3dPlan, PlansAreQuick) {
  Draw draw{std::mt19937_64(6)};
  std::vector<Conv3dProblem> problems;
  for (int i = 0; i < 10'000; ++i) problems.push_back(random_problem(draw));
  const auto began = std::chrono::steady_clock::now();
  double sum = 0;
  for (const Conv3dProblem& p : problems) sum += conv3d_plan(p, h200).predicted_us;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("10,000 plans in %.3f s\n", took.count());
  EXPECT_GT(sum, 0);
  EXPECT_LT(took.count(), 10);
}

TEST(Conv3dPlan, SuiteIsLegalOnEveryGpu) {
  for (const Conv3dSuiteRow& row : read_conv3d_suite())
    for (const Conv3dPass pass : passes)
      for (const Dtype dtype : {Dtype::bf16, Dtype::f32})
        for (const Gpu& gpu : gpus) {
          const Conv3dProblem p = conv3d_fresh_problem(pass, row.options, row.x, row.w, dtype);
          expect_legal(p, gpu, conv3d_plan(p, gpu));
        }
}

TEST(Conv3dPlan, PredictionsStayAboveTheFloor) {
  for (const Conv3dSuiteRow& row : read_conv3d_suite())
    for (const Conv3dPass pass : passes) {
      const Conv3dProblem p = conv3d_fresh_problem(pass, row.options, row.x, row.w, Dtype::bf16);
      // No kernel here reaches the floor's rate of products, and launches take time beside.
      EXPECT_GT(conv3d_plan(p, h200).predicted_us, row.floor_us[size_t(pass)]) << p;
    }
}

TEST(Conv3dPlan, AFunctionOfItsArguments) {
  Draw draw{std::mt19937_64(7)};
  for (int i = 0; i < 200; ++i) {
    const Conv3dProblem p = random_problem(draw);
    Gpu other = h200;
    other.name = "another name";
    EXPECT_EQ(text(conv3d_plan(p, h200)), text(conv3d_plan(p, other))) << p;
  }
}

Conv3dProblem layer_of(int id, Conv3dPass pass, Dtype dtype = Dtype::bf16) {
  for (const Conv3dSuiteRow& row : read_conv3d_suite())
    if (row.id == id) return conv3d_fresh_problem(pass, row.options, row.x, row.w, dtype);
  throw Error("no such row");
}
constexpr int full = 4, small_maps = 7;  // rows of the suite: C3D's conv3b and conv5
constexpr int gemm = int(Conv3dAlgorithm::gemm), pointwise = int(Conv3dAlgorithm::pointwise);

TEST(Conv3dPlan, OverridesAreKept) {
  Draw draw{std::mt19937_64(8)};
  for (int i = 0; i < 1000; ++i) {
    const Conv3dProblem p = random_problem(draw);
    const Conv3dPlan own = conv3d_plan(p, a100);
    const Conv3dPlan same =
        conv3d_plan(p, a100, {int(own.algorithm), own.columns, own.stages, own.splits});
    EXPECT_EQ(text(same), text(own)) << p;
    const Conv3dPlan forced = conv3d_plan(p, a100, {.algorithm = gemm, .columns = 64, .stages = 2});
    EXPECT_TRUE(forced.columns == 64 && forced.stages == 2) << p;
    expect_legal(p, a100, forced);
  }
  const Conv3dPlan split = conv3d_plan(layer_of(small_maps, Conv3dPass::forward), h200,
                                       {.algorithm = gemm, .columns = 128, .splits = 3});
  EXPECT_EQ(split.splits, 3);
  EXPECT_EQ(split.workspace_bytes, 3 * split.tiles * 128 * 128 * 4);
}

TEST(Conv3dPlan, RefusesWhatCannotBe) {
  const Conv3dProblem p = layer_of(full, Conv3dPass::forward);
  const auto refused = [&](const Conv3dOverride& o, const Gpu& gpu = h200) {
    return refusal([&] { conv3d_plan(p, gpu, o); });
  };
  const std::string layer = " for " + text(p) + " on ";
  EXPECT_EQ(refused({.algorithm = pointwise}),
            "conv3d: pointwise takes filters of one tap without padding, got " + text(p));
  EXPECT_EQ(refused({.algorithm = 6}), "conv3d: expected an algorithm below 6, got 6");
  EXPECT_EQ(refused({.algorithm = gemm, .columns = 48}),
            "conv3d: no plan gemm columns=48" + layer +
                "H200: its tiles have other numbers of columns, as 128");
  EXPECT_EQ(refused({.algorithm = gemm, .stages = 9}),
            "conv3d: no plan gemm stages=9" + layer +
                "H200: its pipelines have other numbers of stages, as 4");
  EXPECT_EQ(refused({.algorithm = gemm, .columns = 128, .stages = 5}, small_shared_memory),
            "conv3d: no plan gemm columns=128 stages=5" + layer +
                "99 KB of shared memory: a block needs 166144 bytes of shared memory, the GPU has "
                "101376");
  EXPECT_EQ(refused({.algorithm = gemm, .columns = 128, .splits = 200}),
            "conv3d: no plan gemm columns=128 splits=200" + layer +
                "H200: a sum has 108 steps, too few for 200 splits");
  const Conv3dProblem one_step = conv3d_fresh_problem(Conv3dPass::forward, {}, {1, 1, 8, 8, 64},
                                                      {64, 1, 1, 1, 64}, Dtype::bf16);
  EXPECT_EQ(refusal([&] { conv3d_plan(one_step, h200, {.algorithm = gemm, .splits = 2}); }),
            "conv3d: no plan gemm splits=2 for " + text(one_step) +
                " on H200: a sum has 1 steps, too few for 2 splits");
  EXPECT_EQ(refused({.algorithm = gemm, .columns = 128, .splits = 4}),
            "conv3d: no plan gemm columns=128 splits=4" + layer +
                "H200: 4 splits need 205520896 bytes of workspace, at most 67108864 are allowed");
}

/// The plans of the headline rows in bf16 on an H200. Whoever changes the model or an algorithm's
/// planner sees here what that does; then the table is what this test prints.
constexpr char headline_plans[] = R"(
2 forward: halo 256x64 stages=4 splits=1 462 us
2 grad_input: halo 256x64 stages=4 splits=1 458 us
2 grad_weight: gemm 128x128 stages=3 splits=37 486 us
4 forward: gemm 128x128 stages=3 splits=1 456 us
4 grad_input: gemm 128x128 stages=3 splits=1 456 us
4 grad_weight: gemm 128x128 stages=3 splits=7 487 us
7 forward: gemm 128x128 stages=3 splits=9 44 us
7 grad_input: gemm 128x128 stages=3 splits=9 44 us
7 grad_weight: gemm 128x128 stages=3 splits=1 41 us
8 forward: stem 256x64 stages=3 splits=1 1278 us
8 grad_weight: stem 64x160 stages=2 splits=226 1191 us
18 forward: gemm 128x96 stages=3 splits=1 757 us
18 grad_input: gemm 128x128 stages=3 splits=1 683 us
18 grad_weight: gemm 64x256 stages=2 splits=6 754 us
60 forward: halo 256x48 stages=4 splits=1 185 us
60 grad_input: halo 256x64 stages=4 splits=1 176 us
60 grad_weight: gemm 64x256 stages=2 splits=29 326 us
61 forward: halo 256x64 stages=4 splits=1 61 us
61 grad_input: halo 256x48 stages=4 splits=1 64 us
61 grad_weight: gemm 64x256 stages=2 splits=132 80 us
84 forward: stem 256x8 stages=3 splits=1 136 us
84 grad_weight: stem 64x160 stages=2 splits=396 176 us
87 forward: halo 256x32 stages=2 splits=1 42 us
87 grad_input: halo 256x64 stages=4 splits=1 43 us
87 grad_weight: gemm 64x256 stages=2 splits=88 62 us
88 forward: pointwise 128x64 stages=3 splits=1 33 us
88 grad_input: pointwise 128x64 stages=3 splits=1 33 us
88 grad_weight: gemm 64x64 stages=3 splits=99 39 us
113 forward: gemm 128x128 stages=3 splits=2 68 us
113 grad_input: gemm 128x128 stages=3 splits=1 55 us
113 grad_weight: gemm 128x128 stages=3 splits=5 65 us
168 forward: halo 256x48 stages=4 splits=1 2049 us
168 grad_input: halo 256x48 stages=4 splits=1 2049 us
168 grad_weight: gemm 128x128 stages=3 splits=25 2788 us
)";

TEST(Conv3dPlan, HeadlineRowsHaveThePlansThatWereLookedAt) {
  std::ostringstream table;
  table << std::fixed << std::setprecision(0) << '\n';
  for (const Conv3dSuiteRow& row : read_conv3d_suite())
    for (const Conv3dPass pass : passes) {
      if (!row.headline || row.floor_us[size_t(pass)] == 0) continue;
      const Conv3dProblem p = conv3d_fresh_problem(pass, row.options, row.x, row.w, Dtype::bf16);
      const Conv3dPlan plan = conv3d_plan(p, h200);
      table << row.id << ' ' << name_of(pass) << ": " << name_of(plan.algorithm) << ' ' << plan.rows
            << 'x' << plan.columns << " stages=" << plan.stages << " splits=" << plan.splits << ' '
            << plan.predicted_us << " us\n";
    }
  EXPECT_EQ(table.str(), headline_plans);
}

/// Sums of nothing still are results to write.
TEST(Conv3dPlan, ResultsWithoutProductsHavePlans) {
  const std::pair<Shape, Shape> no_in = {{1, 2, 3, 3, 0}, {5, 1, 1, 1, 0}},
                                no_out = {{1, 2, 3, 3, 5}, {0, 1, 1, 1, 5}},
                                no_clips = {{0, 2, 3, 3, 5}, {4, 1, 1, 1, 5}};
  for (const auto& [pass, shapes] : {std::pair{Conv3dPass::forward, no_in},
                                     {Conv3dPass::grad_input, no_out},
                                     {Conv3dPass::grad_weight, no_clips}})
    for (const Dtype dtype : {Dtype::bf16, Dtype::f32})
      for (const Gpu& gpu : gpus) {
        const Conv3dProblem p = conv3d_fresh_problem(pass, {}, shapes.first, shapes.second, dtype);
        const Conv3dPlan plan = conv3d_plan(p, gpu);
        EXPECT_TRUE(plan.tiles == 1 && plan.splits == 1 && std::isfinite(plan.predicted_us))
            << p << ": " << plan;
      }
}

TEST(Conv3dPlan, SplitsFillTheGpu) {
  // 28 tiles of 128 x 128 on 132 multiprocessors.
  const Conv3dPlan plan = conv3d_plan(layer_of(small_maps, Conv3dPass::forward), h200);
  EXPECT_GT(plan.splits, 1) << plan;
  EXPECT_GT(plan.waves, 0.7) << plan;
  // The same on a GPU that they fill.
  EXPECT_EQ(conv3d_plan(layer_of(small_maps, Conv3dPass::forward), four_multiprocessors).splits, 1);
}

}  // namespace

}  // namespace kinema::test
