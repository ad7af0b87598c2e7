// labels: ci, cudnn
#include "kernels/conv3d/conv3d_cudnn.h"
#include <gtest/gtest.h>
#include <functional>
#include <optional>
#include "kernels/conv3d/conv3d_cases.h"
#include "kernels/conv3d/conv3d_cudnn_layer.h"
#include "kernels/cudnn/nvidia_libraries.h"
#include "kernels/cudnn/plan_cache.h"

// Plans for an H200 that is not at hand: graphs are built and plans become final, nothing runs.

namespace kinema::test {
namespace {

using namespace kernels;
using kernels::cudnn::ConvolutionLayer, kernels::cudnn::CudnnViews, kernels::cudnn::Plan,
    kernels::cudnn::Target;

constexpr Conv3dPass passes[] = {Conv3dPass::forward, Conv3dPass::grad_input,
                                 Conv3dPass::grad_weight};
constexpr Dtype types[] = {Dtype::f32, Dtype::bf16, Dtype::f16};
const char* const h200 = "bench/h200_device.json";

class Conv3dCudnn : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = nvidia_libraries().front().missing;
    if (!missing.empty()) GTEST_SKIP() << missing;
    try {
      target.emplace(h200);
    } catch (const Unsupported& e) {
      GTEST_SKIP() << e.what();
    }
  }
  std::optional<Target> target;
};

std::string refusal_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

ConvolutionLayer fresh_layer(Conv3dPass pass, const Conv3dOptions& o, const Shape& x,
                             const Shape& w, Dtype type) {
  const CudnnViews v = cudnn::cudnn_views(o, fresh_layout(type, x), fresh_layout(type, w),
                                          fresh_layout(type, conv3d_output(o, x, w)));
  return cudnn::layer_of(pass, o, v);
}

/// Strides, dilation, groups, unequal paddings, odd channels, stems: all have a plan, whose engine
/// is deterministic, and in f32 no tensor core; and adding to a result has one too.
TEST_F(Conv3dCudnn, EveryCaseHasAPlanThatServes) {
  for (const Conv3dCase& c : conv3d_cases) {
    const Shape y = conv3d_output(c.options, c.x, c.w);
    if (!y.size() || !c.x.size()) continue;
    for (const Conv3dPass pass : passes)
      for (const Dtype type : types) {
        ConvolutionLayer layer = fresh_layer(pass, c.options, c.x, c.w, type);
        for (const bool accumulate : {false, true}) {
          layer.accumulate = accumulate;
          const std::vector<Plan> plans = plans_of(layer, *target, 3);
          EXPECT_FALSE(plans.empty()) << name_of(pass) << ' ' << c.what << ' ' << type;
          for (const Plan& plan : plans) {
            EXPECT_LE(plan.workspace, cudnn::workspace_limit) << c.what;
            for (const auto note : plan.notes)
              EXPECT_TRUE(note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP ||
                          (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && type != Dtype::f32))
                  << name_of(pass) << ' ' << c.what << ' ' << type << ": " << plan.name << " is "
                  << cudnn::text_of(plan.notes);
          }
        }
      }
  }
}

const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};
const Shape small_x{2, 8, 28, 28, 64}, small_w{128, 3, 3, 3, 64};

/// What the filters leave out is there: without them these layers get engines of tensor cores in
/// f32, and nondeterministic ones.
TEST_F(Conv3dCudnn, FiltersLeaveOutWhatCudnnOffers) {
  const auto best = [&](bool tf32) {
    Conv3dOptions o = same;
    o.tf32 = tf32;
    return plans_of(fresh_layer(Conv3dPass::forward, o, small_x, small_w, Dtype::f32), *target, 1);
  };
  ASSERT_FALSE(best(true).empty() || best(false).empty());
  EXPECT_EQ(cudnn::text_of(best(true).front().notes), "tensor core");
  EXPECT_EQ(cudnn::text_of(best(false).front().notes), "");
}

TEST_F(Conv3dCudnn, RefusesEnginesByTheirNotes) {
  using Notes = std::vector<cudnnBackendNumericalNote_t>;
  EXPECT_TRUE(cudnn::serves({}, true));
  EXPECT_TRUE(cudnn::serves({CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, true));
  EXPECT_TRUE(cudnn::serves({CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, false));
  EXPECT_FALSE(cudnn::serves({CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, true));
  for (int note = 0; note < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; ++note) {
    if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP)
      continue;
    const Notes notes{CUDNN_NUMERICAL_NOTE_TENSOR_CORE, cudnnBackendNumericalNote_t(note)};
    EXPECT_FALSE(cudnn::serves(notes, false)) << cudnn::text_of(notes);
  }
}

/// A bias and a ReLU are part of one plan in f32. In 16 bits with a bias of f32 an engine has to be
/// compiled for it, which takes a driver.
TEST_F(Conv3dCudnn, BiasAndReluAreFused) {
  ConvolutionLayer layer = fresh_layer(Conv3dPass::forward, same, small_x, small_w, Dtype::f32);
  layer.bias = true;
  EXPECT_FALSE(plans_of(layer, *target, 1).empty());
  layer.relu = true;
  EXPECT_FALSE(plans_of(layer, *target, 1).empty());
}

TEST_F(Conv3dCudnn, PlansAreRankedAndDistinct) {
  const Conv3dProblem p = conv3d_problem_from("grad_weight 2,8,28,28,64 128,3,3,3,64 pad=1,1,1");
  const std::vector<Conv3dCudnnPlan> five = conv3d_cudnn_plans(p, 5, h200),
                                     one = conv3d_cudnn_plans(p, 1, h200);
  ASSERT_EQ(five.size(), 5u);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].name, five[0].name);
  for (size_t i = 0; i < five.size(); ++i)
    for (size_t j = 0; j < i; ++j) EXPECT_NE(five[i].name, five[j].name);
}

/// Rows of 45 channels lie 48 apart in bf16: cuDNN is shown 48. Filters without gaps are taken as
/// they lie, others are to be packed.
TEST(Conv3dCudnnViews, ZeroLanesAreChannels) {
  const Conv3dOptions o = same;
  char memory = 0;
  const auto views = [&](const Conv3dOptions& options, const Shape& x, const Shape& w) {
    View filters = fresh_layout(Dtype::bf16, w);
    filters.data = &memory;
    return cudnn::cudnn_views(options, fresh_layout(Dtype::bf16, x), filters,
                              fresh_layout(Dtype::bf16, conv3d_output(options, x, w)));
  };
  const CudnnViews odd = views(o, {1, 2, 5, 5, 45}, {37, 3, 3, 3, 45});
  EXPECT_EQ(odd.x.shape[4], 48);
  EXPECT_EQ(odd.y.shape[4], 40);
  EXPECT_EQ(odd.w.shape, (Shape{40, 3, 3, 3, 48}));
  EXPECT_EQ(odd.w.data, nullptr);
  EXPECT_TRUE(uniform_rows(odd.w) && odd.w.stride(3) == 48);
  const CudnnViews lanes = views(o, {1, 2, 5, 5, 45}, {40, 3, 3, 3, 45});
  EXPECT_EQ(lanes.w.data, &memory);
  Conv3dOptions groups = same;
  groups.groups = 4;
  const CudnnViews grouped = views(groups, {1, 2, 5, 5, 20}, {12, 3, 3, 3, 5});
  EXPECT_EQ(grouped.x.shape[4], 20);
  EXPECT_EQ(grouped.y.shape[4], 12);
  groups.groups = 45;
  const CudnnViews depthwise = views(groups, {1, 2, 5, 5, 45}, {45, 3, 3, 3, 1});
  EXPECT_EQ(depthwise.x.shape[4], 48);
  EXPECT_EQ(depthwise.w.shape, (Shape{48, 3, 3, 3, 1}));
}

TEST(PlanCache, MakesPlansOnceAndForgetsTheOldest) {
  cudnn::PlanCache<int> cache;
  std::vector<int64_t> asked;
  const auto find = [&](int key, int64_t rank) {
    return cache.find(key, rank, [&](int64_t most) {
      asked.push_back(most);
      return std::vector<Plan>{};
    });
  };
  for (const int64_t rank : {0, 0, 2, 1}) EXPECT_EQ(find(0, rank), nullptr);
  EXPECT_EQ(asked, (std::vector<int64_t>{1, 3}));
  for (int key = 1; key < 512; ++key) find(key, 0);
  find(0, 0);
  find(512, 0);  // takes the place of 1, which was not used for longest
  asked.clear();
  find(0, 0);
  find(2, 0);
  EXPECT_TRUE(asked.empty());
  find(1, 0);
  EXPECT_EQ(asked.size(), 1u);
}

/// What the contract allows and cuDNN does not do is said before anything is done, so that another
/// backend can take the pass; a mistake is one as on every backend.
TEST_F(Conv3dCudnn, RefusesInOneSentence) {
  const auto view = [](const Shape& s, Dtype d = Dtype::bf16) { return fresh_layout(d, s); };
  const View x = view({1, 2, 5, 5, 8}), w = view({8, 3, 3, 3, 8}), y = view({1, 2, 5, 5, 8}),
             k = view({8}, Dtype::f32);
  const auto expect_unsupported = [](const std::function<void()>& f, const char* text) {
    EXPECT_THROW(f(), Unsupported);
    EXPECT_EQ(refusal_of(f), text);
  };
  const char* epilogue =
      "conv3d.forward: cudnn takes a bias and a ReLU, got scale, shift, residual or partials; use "
      "--backend conv3d=cuda";
  for (const Conv3dEpilogue& e :
       {Conv3dEpilogue{.scale = k}, Conv3dEpilogue{.shift = k}, Conv3dEpilogue{.residual = y}})
    expect_unsupported([&] { conv3d_cudnn.forward({}, same, x, w, y, e); }, epilogue);
  expect_unsupported([&] { conv3d_cudnn.grad_input({}, same, y, w, x, {.mask = x}); },
                     "conv3d.grad_input: cudnn takes neither mask nor sums; use --backend "
                     "conv3d=cuda");
  EXPECT_EQ(refusal_of([&] {
              conv3d_cudnn.forward({}, same, x, w, view({1, 2, 5, 4, 8}), {});
            }),
            "conv3d: y must be [1,2,5,5,8], got [1,2,5,4,8]");
  EXPECT_EQ(refusal_of([] { Conv3dCudnnRankScope scope(-1); }),
            "conv3d: expected a plan's rank from 0, got -1");
  EXPECT_EQ(refusal_of([] { Target("bench/none.json"); }),
            "cuDNN: expected a GPU's properties in bench/none.json, which cannot be read");
}

}  // namespace
}  // namespace kinema::test
