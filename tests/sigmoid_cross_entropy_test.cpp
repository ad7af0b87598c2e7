#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"
#include <limits>
#include "engine/ops/sigmoid_cross_entropy.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

Tensor targets_for(const Shape& shape) {
  std::vector<float> values;
  for (int64_t i = 0; i < shape.size(); ++i) values.push_back(i % 3 == 0 ? 1.f : 0.f);
  return from_vector<float>(shape, values);
}

/// Every pass of one case, each on both backends.
void expect_agreement(const Shape& shape, Dtype type, double smoothing) {
  const Tensor x = random(shape, 1, type, -4, 4), t = targets_for(shape), dloss = full({1}, 1.5);
  Tensor loss[2], fused[2], dx[2], again[2];
  for (int i = 0; i < 2; ++i) {
    const auto& op = kernels::sigmoid_cross_entropy(both[i]);
    loss[i] = poisoned({1}), dx[i] = poisoned(shape, type);
    op.forward({}, {smoothing}, x.view(), t.view(), loss[i].view());
    op.grad({}, {smoothing}, x.view(), t.view(), dloss.view(), dx[i].view(), false);
    op.grad({}, {smoothing}, x.view(), t.view(), dloss.view(), dx[i].view(), true);
    fused[i] = poisoned({1}), again[i] = poisoned(shape, type);
    for (bool accumulate : {false, true})
      op.forward_grad({}, {smoothing}, x.view(), t.view(), dloss.view(), fused[i].view(),
                      again[i].view(), accumulate);
    EXPECT_TRUE(tail_is_zero(dx[i]) && tail_is_zero(again[i])) << both[i];
    EXPECT_EQ(item(fused[i]), item(loss[i])) << both[i];
    EXPECT_EQ(floats(again[i]), floats(dx[i])) << both[i];
  }
  // Summed in double in both; the result rounds once.
  EXPECT_LE(error(loss[1], loss[0]), epsilon(Dtype::f32));
  // The exponential is good to 2 units of at most 1, s and s - q round once each; twice that is
  // added up, times 1.5 / NK, which rounds too. A narrow one is rounded twice more.
  const std::vector<float> got = floats(dx[1]), want = floats(dx[0]);
  const double bound =
      2 * (5 * epsilon(Dtype::f32) + 2 * rounding(type)) * 1.5 / double(shape.size());
  for (size_t k = 0; k < got.size(); ++k) EXPECT_NEAR(got[k], want[k], bound);
}

TEST(SigmoidCrossEntropy, EveryPassAgreesWithTheReference) {
  for (const auto& c : kernels::sigmoid_cross_entropy_cases)
    for (Dtype type : activation_types)
      for (double smoothing : {0., 0.1, 1.}) {
        if (std::string(c.tag) != "ci") continue;
        std::ostringstream what;
        what << c.x << " in " << type << ", smoothing " << smoothing;
        SCOPED_TRACE(what.str());
        expect_agreement(c.x, type, smoothing);
      }
}

TEST(SigmoidCrossEntropy, ComputesWhatItShould) {
  // sigmoid(log 3) = 3/4.
  const float l3 = float(std::log(3));
  const Tensor x = from_vector<float>({2, 2}, {0, l3, l3, -l3}),
               t = from_vector<float>({2, 2}, {1, 1, 0, 0});
  const double right = -std::log(0.75), wrong = -std::log(0.25);
  for (Backend b : both) {
    BackendScope scope(b);
    EXPECT_NEAR(item(sigmoid_cross_entropy(x, t)), (std::log(2) + right + wrong + right) / 4, 1e-6);
    // Smoothing by 0.2 leaves 0.9 of the right side.
    EXPECT_NEAR(item(sigmoid_cross_entropy(x, t, {.smoothing = 0.2})),
                (std::log(2) + (0.9 * right + 0.1 * wrong) * 2 + 0.9 * wrong + 0.1 * right) / 4,
                1e-6);
    const Tensor leaf = parameter(x);
    backward(sigmoid_cross_entropy(leaf, t));
    const std::vector<double> want{-0.5 / 4, -0.25 / 4, 0.75 / 4, 0.25 / 4};
    for (size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(to_vector<float>(gradient(leaf))[i], want[i], 1e-6) << b;
  }
}

TEST(SigmoidCrossEntropy, LargeLogitsDoNotOverflow) {
  const Tensor x = from_vector<float>({1, 4}, {1e4f, -1e4f, 1e4f, -1e4f}),
               t = from_vector<float>({1, 4}, {1, 0, 0, 1});
  for (Backend b : both) {
    BackendScope scope(b);
    const Tensor leaf = parameter(x);
    const Tensor loss = sigmoid_cross_entropy(leaf, t);
    EXPECT_NEAR(item(loss), 2e4 / 4, 1e-3);
    backward(loss);
    // The f32 exponential goes down to e^-87 and no further.
    const std::vector<float> want{0, 0, 0.25f, -0.25f};
    for (size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(to_vector<float>(gradient(leaf))[i], want[i], 1e-37) << b;
    const Tensor bad = from_vector<float>({1, 1}, {std::nanf("")});
    EXPECT_TRUE(std::isnan(item(sigmoid_cross_entropy(bad, full({1, 1}, 0))))) << b;
  }
}

TEST(SigmoidCrossEntropy, ReadsSlicesAndLeavesNeighboursAlone) {
  const Tensor x = random({4, 5}), t = targets_for({4, 5}), one = full({1}, 1);
  for (Backend b : both) {
    const auto& op = kernels::sigmoid_cross_entropy(b);
    const Slice from(x, 1, 2), to(t, 2, 1), dx({4, 5}, 3, 1);
    Tensor loss[2] = {empty({1}), empty({1})}, want = empty({4, 5});
    op.forward({}, {0.1}, x.view(), t.view(), loss[0].view());
    op.grad({}, {0.1}, x.view(), t.view(), one.view(), want.view(), false);
    op.forward({}, {0.1}, from.part.view(), to.part.view(), loss[1].view());
    op.grad({}, {0.1}, from.part.view(), to.part.view(), one.view(), dx.part.view(), false);
    EXPECT_EQ(item(loss[1]), item(loss[0])) << b;
    EXPECT_EQ(to_vector<float>(dx.part), to_vector<float>(want)) << b;
    EXPECT_TRUE(dx.neighbours_untouched()) << b;
  }
}

TEST(SigmoidCrossEntropy, GradientsAreRight) {
  const Tensor t = random({3, 7}, 2, Dtype::f64, 0, 1);
  for (double smoothing : {0., 0.1, 1.})
    EXPECT_TRUE(gradient_is_right(
        [&](const std::vector<Tensor>& in) {
          return sigmoid_cross_entropy(in[0], t, {.smoothing = smoothing});
        },
        {random({3, 7}, 1, Dtype::f64)}));
}

TEST(SigmoidCrossEntropy, OnMetaOnlyShapesAreChecked) {
  const Tensor x = empty({4, 5}, Dtype::f32, Device::meta);
  EXPECT_EQ(sigmoid_cross_entropy(x, x).shape(), (Shape{1}));
}

TEST(SigmoidCrossEntropy, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3});
  auto says = [&](const Tensor& logits, const Tensor& targets, double smoothing) {
    std::string text = refusal([&] { sigmoid_cross_entropy(logits, targets, {smoothing}); });
    BackendScope scope(Backend::reference);
    EXPECT_EQ(refusal([&] { sigmoid_cross_entropy(logits, targets, {smoothing}); }), text);
    return text;
  };
  EXPECT_EQ(says(random({3}), x, 0), "sigmoid_cross_entropy: logits must be [N,K], got [3]");
  EXPECT_EQ(says(empty({0, 3}), empty({0, 3}), 0),
            "sigmoid_cross_entropy: expected at least one logit, got [0,3]");
  EXPECT_EQ(says(x, random({2, 4}), 0),
            "sigmoid_cross_entropy: the targets must be f32 [2,3], got f32 [2,4]");
  EXPECT_EQ(says(x, random({2, 3}, 1, Dtype::f64), 0),
            "sigmoid_cross_entropy: the targets must be f32 [2,3], got f64 [2,3]");
  const Tensor narrow = random({2, 3}, 1, Dtype::bf16);
  EXPECT_EQ(says(narrow, narrow, 0),
            "sigmoid_cross_entropy: the targets must be f32 [2,3], got bf16 [2,3]");
  EXPECT_EQ(says(x, x, -0.5), "sigmoid_cross_entropy: smoothing must be in [0,1], got -0.5");
  for (Backend b : both) {
    const auto& op = kernels::sigmoid_cross_entropy(b);
    EXPECT_EQ(refusal([&] { op.forward({}, {}, x.view(), x.view(), x.view()); }),
              "sigmoid_cross_entropy: the loss must be f32 [1], got f32 [2,3]");
    const Tensor one = full({1}, 1);
    EXPECT_EQ(refusal([&] {
                op.forward_grad({}, {}, x.view(), x.view(), one.view(), one.view(), narrow.view(),
                                false);
              }),
              "sigmoid_cross_entropy: the gradient must be f32 [2,3], got bf16 [2,3]");
  }
}

}  // namespace
}  // namespace kinema::test
