#include "engine/ops/conv3d.h"
#include <omp.h>
#include "engine/nn/conv3d.h"
#include "engine/ops/views.h"
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_cases.h"
#include "kernels/conv3d/conv3d_loops.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

/// A sum of n products in f32 errs by about sqrt(n) to n roundings of the largest partial sum; both
/// sides of a comparison are bounded by 16 sqrt(n) epsilon with room for blocked orders.
double bound(int64_t products) {
  return 16 * epsilon(Dtype::f32) * std::sqrt(double(std::max<int64_t>(products, 1)));
}

std::vector<kernels::Conv3dCase> ci_cases() {
  std::vector<kernels::Conv3dCase> ci;
  for (const auto& c : kernels::conv3d_cases)
    if (std::string(c.tag) == "ci") ci.push_back(c);
  return ci;
}

int64_t filter_size(const kernels::Conv3dCase& c) { return c.w[1] * c.w[2] * c.w[3] * c.w[4]; }

/// Random tensors of one case and what the reference makes of them.
struct Data {
  Tensor x, w, dy, y, dx, dw, db;

  explicit Data(const kernels::Conv3dCase& c, Dtype type = Dtype::f32)
      : x(random(c.x, 1, type)), w(random(c.w, 2, type)) {
    const Shape out = kernels::conv3d_output(c.options, c.x, c.w);
    dy = random(out, 3, type);
    y = empty(out, type), dx = empty(c.x, type), dw = empty(c.w), db = empty({c.w[0]});
    const auto& op = kernels::conv3d_reference;
    op.forward({}, c.options, x.view(), w.view(), y.view(), {});
    op.grad_input({}, c.options, dy.view(), w.view(), dx.view(), {});
    op.grad_weight({}, c.options, x.view(), dy.view(), dw.view(), false);
    op.grad_bias({}, dy.view(), db.view(), false);
  }
};

/// All passes of one case on cpu. Weight gradients are f32 whatever the type.
void expect_agreement(const kernels::Conv3dCase& c, Dtype type) {
  SCOPED_TRACE(std::string(c.what) + " in " + name_of(type));
  const Data d(c, type);
  const auto& op = kernels::conv3d_cpu;
  Tensor y = poisoned(d.y.shape(), type), dx = poisoned(c.x, type), dw = poisoned(c.w),
         db = poisoned({c.w[0]});
  op.forward({}, c.options, d.x.view(), d.w.view(), y.view(), {});
  op.grad_input({}, c.options, d.dy.view(), d.w.view(), dx.view(), {});
  op.grad_weight({}, c.options, d.x.view(), d.dy.view(), dw.view(), false);
  op.grad_bias({}, d.dy.view(), db.view(), false);
  const int64_t pixels = c.w[0] ? d.y.size() / c.w[0] : 0;
  const int64_t back = filter_size(c) / std::max<int64_t>(c.w[4], 1) * c.w[0];
  EXPECT_LE(error(y, d.y), bound(filter_size(c)) + rounding(type));
  EXPECT_LE(error(dx, d.dx), bound(back) + rounding(type));
  EXPECT_LE(error(dw, d.dw), bound(pixels));
  EXPECT_LE(error(db, d.db), bound(pixels));
  for (const Tensor& t : {y, dx, dw}) EXPECT_TRUE(tail_is_zero(t));
}

TEST(Conv3d, EveryPassAgreesWithTheReference) {
  for (const auto& c : ci_cases())
    for (Dtype type : activation_types) expect_agreement(c, type);
}

/// Clips whose copy in f32 is too large for all of them at once.
TEST(Conv3d, NarrowTypesTakeClipsInParts) {
  expect_agreement({"ci", "two parts", {2, 1, 64, 33, 2000}, {1, 1, 1, 1, 2000}, {}}, Dtype::bf16);
}

void expect_sums(const kernels::Conv3dCase& c, Dtype type) {
  SCOPED_TRACE(std::string(c.what) + " in " + name_of(type));
  const Data d(c, type);
  auto three_more = [&](const kernels::Conv3d& op) {
    std::vector<Tensor> sums{full(c.x, 3, type), full(c.w, 3), full({c.w[0]}, 3)};
    op.grad_input({}, c.options, d.dy.view(), d.w.view(), sums[0].view(), {.accumulate = true});
    op.grad_weight({}, c.options, d.x.view(), d.dy.view(), sums[1].view(), true);
    op.grad_bias({}, d.dy.view(), sums[2].view(), true);
    return sums;
  };
  const std::vector<Tensor> got = three_more(kernels::conv3d_cpu);
  const std::vector<Tensor> want = three_more(kernels::conv3d_reference);
  const double b = bound(filter_size(c) + (c.w[0] ? d.y.size() / c.w[0] : 0) + c.w[0]);
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_LE(error(got[i], want[i]), b + rounding(got[i].dtype())) << i;
  const std::vector<Tensor> plain{d.dx, d.dw, d.db};
  for (size_t i = 0; i < got.size(); ++i)
    if (plain[i].size()) {
      const float sum = floats(want[i])[0], more = floats(plain[i])[0];
      // Both sides are rounded, to half a unit in the last place of theirs.
      const double unit = rounding(want[i].dtype()) * (std::abs(sum) + std::abs(more));
      EXPECT_NEAR(sum, more + 3, 1e-4 + unit / 2);
    }
}

TEST(Conv3d, EveryPassAccumulates) {
  for (const auto& c : ci_cases())
    for (Dtype type : {Dtype::f32, Dtype::bf16}) expect_sums(c, type);
}

/// Our own loops serve what oneDNN would not; they must be right for everything.
TEST(Conv3d, OwnLoopsAgreeWithTheReference) {
  for (const auto& c : ci_cases()) {
    SCOPED_TRACE(c.what);
    const Data d(c);
    Tensor y = poisoned(d.y.shape()), dx = poisoned(c.x), dw = poisoned(c.w);
    kernels::conv3d_loops_forward(c.options, d.x.view(), d.w.view(), y.view());
    kernels::conv3d_loops_grad_input(c.options, d.dy.view(), d.w.view(), dx.view());
    kernels::conv3d_loops_grad_weight(c.options, d.x.view(), d.dy.view(), dw.view());
    EXPECT_LE(error(y, d.y), bound(filter_size(c)));
    EXPECT_LE(error(dx, d.dx), bound(filter_size(c) / std::max<int64_t>(c.w[4], 1) * c.w[0]));
    EXPECT_LE(error(dw, d.dw), bound(c.w[0] ? d.y.size() / c.w[0] : 0));
    for (const Tensor& t : {y, dx, dw}) EXPECT_TRUE(tail_is_zero(t));
  }
}

TEST(Conv3d, DepthwiseResultsDoNotDependOnThreads) {
  const kernels::Conv3dCase c{"ci",
                              "",
                              {2, 5, 9, 24, 45},
                              {45, 3, 3, 3, 1},
                              {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}, .groups = 45}};
  const Data d(c);
  const auto run = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    const Tensor y = empty(d.y.shape()), dx = empty(c.x), dw = empty(c.w);
    kernels::conv3d_cpu.forward({}, c.options, d.x.view(), d.w.view(), y.view(), {});
    kernels::conv3d_cpu.grad_input({}, c.options, d.dy.view(), d.w.view(), dx.view(), {});
    kernels::conv3d_cpu.grad_weight({}, c.options, d.x.view(), d.dy.view(), dw.view(), false);
    omp_set_num_threads(before);
    return std::vector{to_vector<float>(y), to_vector<float>(dx), to_vector<float>(dw)};
  };
  EXPECT_EQ(run(1), run(3));
}

void expect_slices(const kernels::Conv3dCase& c, Dtype type) {
  SCOPED_TRACE(std::string(c.what) + " in " + name_of(type));
  const Data d(c, type);
  for (const auto* op : {&kernels::conv3d_reference, &kernels::conv3d_cpu}) {
    const Slice x(d.x, 3, 2), dy(d.dy, 1, 6), w(d.w, 2, 1);
    const Slice y(d.y.shape(), 5, 1, type), dx(c.x, 1, 3, type), dw(c.w, 1, 1);
    op->forward({}, c.options, x.part.view(), w.part.view(), y.part.view(), {});
    op->grad_input({}, c.options, dy.part.view(), w.part.view(), dx.part.view(), {});
    op->grad_weight({}, c.options, x.part.view(), dy.part.view(), dw.part.view(), false);
    const double b = bound(filter_size(c) + d.y.size() / c.w[0] + c.w[0]);
    EXPECT_LE(error(y.part, d.y), b + rounding(type));
    EXPECT_LE(error(dx.part, d.dx), b + rounding(type));
    EXPECT_LE(error(dw.part, d.dw), b);
    for (const Slice* s : {&x, &dy, &w, &y, &dx, &dw}) EXPECT_TRUE(s->neighbours_untouched());
  }
}

TEST(Conv3d, ReadsAndWritesChannelSlices) {
  for (const auto& c : ci_cases())
    for (Dtype type : {Dtype::f32, Dtype::bf16})
      if (c.x.size() && c.w.size()) expect_slices(c, type);
}

TEST(Conv3d, ReadsFrameAndTimeSlices) {
  const Tensor x = random({2, 8, 6, 6, 5}, 1), w = random({4, 3, 3, 3, 5}, 2);
  const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};
  for (Backend b : {Backend::reference, Backend::cpu}) {
    BackendScope scope(b);
    // Every other frame; the second clip alone; a temporal crop.
    for (const Tensor& part : {slice(x, 1, 1, 4, 2), slice(x, 0, 1, 1), slice(x, 1, 2, 3)}) {
      const Tensor got = conv3d(part, w, same), want = conv3d(contiguous(part), w, same);
      EXPECT_LE(error(got, want), bound(135)) << part.shape() << " on " << b;
    }
    const Tensor clips = empty({2, 8, 6, 6, 4});
    fill(clips, 7);
    const Tensor odd = slice(clips, 1, 1, 4, 2);
    conv3d(slice(x, 1, 0, 4), w, same, {.out = odd});
    EXPECT_LE(error(odd, conv3d(slice(x, 1, 0, 4), w, same)), bound(135));
    EXPECT_EQ(to_vector<float>(slice(clips, 1, 0, 1)), std::vector<float>(2 * 36 * 4, 7.f));
  }
}

TEST(Conv3d, EpilogueEqualsItsComposition) {
  const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};
  const Tensor x = random({2, 3, 4, 5, 6}, 1), w = random({7, 3, 3, 3, 6}, 2);
  const Tensor bias = random({7}, 3), scale = random({7}, 4), shift = random({7}, 5);
  const Tensor residual = random({2, 3, 4, 5, 7}, 6);
  for (int mask = 0; mask < 32; ++mask) {
    Conv3dExtras e;
    if (mask & 1) e.bias = bias;
    if (mask & 2) e.scale = scale;
    if (mask & 4) e.shift = shift;
    if (mask & 8) e.residual = residual;
    e.relu = mask & 16;
    std::vector<float> want = to_vector<float>(conv3d(x, w, same));
    for (size_t i = 0; i < want.size(); ++i) {
      float& v = want[i];
      const size_t k = i % 7;
      if (e.bias) v += data<float>(bias)[k];
      if (e.scale) v *= data<float>(scale)[k];
      if (e.shift) v += data<float>(shift)[k];
      if (e.residual) v += to_vector<float>(residual)[i];
      if (e.relu) v = std::max(v, 0.f);
    }
    for (Backend b : {Backend::reference, Backend::cpu}) {
      BackendScope scope(b);
      const Tensor y = conv3d(x, w, same, e);
      EXPECT_LE(error(y, from_vector(y.shape(), want)), bound(162)) << mask << " on " << b;
      EXPECT_TRUE(tail_is_zero(y));
    }
  }
}

/// A network whose ReLUs hid a NaN would train on in silence with dead channels.
TEST(Conv3d, AFusedReluKeepsNanAndInfinity) {
  for (Backend b : {Backend::reference, Backend::cpu})
    for (int64_t channels : {3, 12, 45})
      for (int64_t groups : {int64_t(1), channels}) {
        const BackendScope scope(b);
        const Tensor x = full({1, 2, 4, 4, channels}, 1);
        const Tensor w = full({channels, 1, 3, 3, channels / groups}, 0.5);
        const Tensor bias = full({channels}, 0);
        data<float>(bias)[0] = std::nanf("");
        data<float>(bias)[1] = INFINITY;
        data<float>(bias)[2] = -INFINITY;
        const Tensor y = conv3d(x, w, {.groups = groups}, {.bias = bias, .relu = true});
        const std::vector<float> values = to_vector<float>(y);
        for (size_t i = 0; i < values.size(); i += size_t(channels)) {
          EXPECT_TRUE(std::isnan(values[i])) << b << channels;
          EXPECT_EQ(values[i + 1], INFINITY) << b << channels;
          EXPECT_EQ(values[i + 2], 0) << b << channels;
        }
      }
}

TEST(Conv3d, GradientsByCentralDifferences) {
  auto r = [](const Shape& s, uint64_t seed) { return random(s, seed, Dtype::f64); };
  struct Case {
    Conv3dOptions options;
    Shape x, w;
  };
  const Case cases[] = {
      {{.stride = {1, 2, 1}, .pad_front = {1, 0, 2}, .pad_back = {0, 1, 1}},
       {2, 3, 4, 3, 3},
       {4, 2, 3, 2, 3}},
      {{.dilation = {2, 1, 2}, .pad_front = {2, 1, 1}, .groups = 2},
       {1, 3, 3, 4, 4},
       {6, 2, 2, 2, 2}},
  };
  for (const Case& c : cases) {
    const Shape y = kernels::conv3d_output(c.options, c.x, c.w);
    auto f = [&](bool relu) {
      return [&, relu](const std::vector<Tensor>& in) {
        return conv3d(in[0], in[1], c.options, {.bias = in[2], .residual = in[3], .relu = relu});
      };
    };
    const std::vector<Tensor> inputs{r(c.x, 1), r(c.w, 2), r({c.w[0]}, 3), r(y, 4)};
    EXPECT_TRUE(gradient_is_right(f(false), inputs));
    // A step of 1e-4 across the ReLU's corner would spoil the difference: seeds keep clear of it.
    EXPECT_TRUE(gradient_is_right(f(true), inputs));
  }
}

TEST(Conv3d, TheTapeAgreesWithTheReference) {
  const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};
  auto f = [&](const std::vector<Tensor>& in) {
    const Tensor h = conv3d(in[0], in[1], same, {.bias = in[2], .relu = true});
    return conv3d(h, in[3], {.stride = {1, 2, 2}}, {.residual = {}});
  };
  EXPECT_TRUE(matches_reference(f,
                                {random({2, 4, 8, 8, 3}, 1), random({13, 3, 3, 3, 3}, 2),
                                 random({13}, 3), random({6, 1, 3, 3, 13}, 4)},
                                bound(2 * 4 * 64)));
}

TEST(Conv3d, NarrowWeightsStandInForParametersInF32) {
  const Conv3dOptions same{.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}};
  for (Dtype type : {Dtype::bf16, Dtype::f16}) {
    auto f = [&](const std::vector<Tensor>& in) {
      const Tensor w = stand_in(cast(in[1].detach(), type), in[1]);
      return conv3d(in[0], w, same, {.bias = in[2], .residual = in[3]});
    };
    const std::vector<Tensor> inputs{random({2, 3, 5, 5, 6}, 1, type), random({7, 3, 3, 3, 6}, 2),
                                     random({7}, 3), random({2, 3, 5, 5, 7}, 4, type)};
    EXPECT_TRUE(matches_reference(f, inputs, bound(162))) << type;
    const Tensor x = parameter(inputs[0]), w = parameter(inputs[1]);
    const Tensor y = f({x, w, inputs[2], inputs[3]});
    backward(y, full(y.shape(), 1, type));
    EXPECT_EQ(gradient(x).dtype(), type);
    EXPECT_EQ(gradient(w).dtype(), Dtype::f32);
  }
}

TEST(Conv3d, BranchesWriteTheirSlicesOfAConcatenation) {
  const Conv3dOptions same{.pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}};
  auto f = [&](bool in_place) {
    return [&, in_place](const std::vector<Tensor>& in) {
      const Tensor whole = empty({2, 2, 5, 5, 12});
      Tensor left = in_place ? slice(whole, 4, 0, 5) : Tensor{};
      Tensor right = in_place ? slice(whole, 4, 5, 7) : Tensor{};
      left = conv3d(in[0], in[1], same, {.relu = true, .out = left});
      right = conv3d(in[0], in[2], {}, {.out = right});
      const Tensor y = concat({left, right}, 4);
      EXPECT_EQ(y.storage == whole.storage, in_place);
      return conv3d(y, in[3]);
    };
  };
  const std::vector<Tensor> inputs{random({2, 2, 5, 5, 6}, 1), random({5, 1, 3, 3, 6}, 2),
                                   random({7, 1, 1, 1, 6}, 3), random({4, 1, 1, 1, 12}, 4)};
  EXPECT_TRUE(matches_reference(f(true), inputs, bound(600)));
  EXPECT_TRUE(matches_reference(f(false), inputs, bound(600)));
}

TEST(Conv3d, RefusesWhatDoesNotFit) {
  const Tensor x = random({1, 2, 4, 4, 6}), w = random({8, 1, 3, 3, 6});
  EXPECT_EQ(refusal([&] {
              conv3d(random({2, 3}), w);
            }),
            "conv3d: x must be [N,T,H,W,C], got [2,3]");
  EXPECT_EQ(refusal([&] {
              conv3d(x, random({8, 3, 3, 6}));
            }),
            "conv3d: w must be [K,kt,kh,kw,C/groups], got [8,3,3,6]");
  EXPECT_EQ(refusal([&] {
              conv3d(x, random({8, 1, 3, 3, 5}));
            }),
            "conv3d: w must take 6 channels a group, got w [8,1,3,3,5] for x [1,2,4,4,6]");
  EXPECT_EQ(refusal([&] { conv3d(x, w, {.groups = 4}); }),
            "conv3d: groups must divide both channel counts, got 4 groups for x [1,2,4,4,6] and w "
            "[8,1,3,3,6]");
  EXPECT_EQ(refusal([&] {
              conv3d(x, w, {.stride = {1, 0, 1}});
            }),
            "conv3d: stride and dilation must be at least 1, got 0 and 1 along H");
  EXPECT_EQ(refusal([&] {
              conv3d(x, w, {.pad_front = {-1, 0, 0}});
            }),
            "conv3d: padding must not be negative, got -1 and 0 along T");
  EXPECT_EQ(refusal([&] {
              conv3d(x, random({8, 3, 3, 3, 6}));
            }),
            "conv3d: the filter spans 3 along T, but x [1,2,4,4,6] has only 2 with padding");
  EXPECT_EQ(refusal([&] {
              conv3d(x, random({8, 1, 3, 3, 6}, 1, Dtype::f64));
            }),
            "conv3d: x, w and y must have one type, got f32, f64 and f32");
  EXPECT_EQ(refusal([&] { conv3d(cast(x, Dtype::bf16), w); }),
            "conv3d: x, w and y must have one type, got bf16, f32 and bf16");
  EXPECT_EQ(refusal([&] { conv3d(cast(x, Dtype::f16), cast(w, Dtype::f16), {}, {.residual = x}); }),
            "conv3d: the residual must be f16 [1,2,2,2,8], got f32 [1,2,4,4,6]");
  EXPECT_EQ(refusal([&] {
              conv3d(cast(x, Dtype::f16), cast(w, Dtype::f16), {},
                     {.bias = random({8}, 1, Dtype::f16)});
            }),
            "conv3d: bias, scale and shift must be f32 [8], got f16 [8]");
  EXPECT_EQ(refusal([&] { conv3d(x, w, {}, {.bias = random({7})}); }),
            "conv3d: bias, scale and shift must be f32 [8], got f32 [7]");
  EXPECT_EQ(refusal([&] { conv3d(x, w, {}, {.residual = x}); }),
            "conv3d: the residual must be f32 [1,2,2,2,8], got f32 [1,2,4,4,6]");
  EXPECT_EQ(refusal([&] { conv3d(x, parameter(w), {}, {.scale = random({8})}); }),
            "conv3d: scale is for inference; run it under NoGrad, or use batch_norm to train");
}

TEST(Conv3d, ModuleStartsWithTheVarianceOfHe) {
  nn::Conv3d layer(nullptr, "", {.in = 32, .out = 64, .kernel = {3, 3, 3}, .padding = {1, 1, 1}});
  layer.initialise(7);
  double sum = 0, squares = 0;
  const std::vector<float> values = to_vector<float>(layer.weight);
  for (float v : values) sum += v, squares += double(v) * v;
  const double n = double(values.size()), variance = 2.0 / (27 * 32);
  // Mean and variance of n normal numbers stray by sigma/sqrt(n) and variance*sqrt(2/n); 5 of
  // those.
  EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(variance / n));
  EXPECT_NEAR(squares / n, variance, 5 * variance * std::sqrt(2 / n));
  const Tensor y = layer.forward(random({1, 2, 4, 4, 32}));
  EXPECT_EQ(y.shape(), (Shape{1, 2, 4, 4, 64}));
}

}  // namespace
}  // namespace kinema::test
