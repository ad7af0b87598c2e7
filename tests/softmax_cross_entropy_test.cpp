#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include <limits>
#include "engine/ops/softmax_cross_entropy.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

// The f32 exponential is good to 2 units, its product with 1 / sum and the result round once each.
const double bound = 4 * epsilon(Dtype::f32);

Tensor labels_for(const Shape& logits) {
  std::vector<int64_t> labels;
  for (int64_t n = 0; n < logits[0]; ++n) labels.push_back((n * 5 + 3) % logits[1]);
  return from_vector<int64_t>({logits[0]}, labels);
}

/// p errs by 3 units of at most 1 where p - q may be small: gradients for a dloss of 1.5 are held
/// against 2 * 1.5 / N instead. A narrow one is rounded twice: what is added to, and the sum.
void expect_near(const Tensor& got, const Tensor& want) {
  const double size = 3 / double(got.shape(0));
  const std::vector<float> a = floats(got), b = floats(want);
  for (size_t k = 0; k < a.size(); ++k)
    EXPECT_NEAR(a[k], b[k], (bound + 2 * rounding(got.dtype())) * size);
}

/// Every pass of one case, each on both backends.
void expect_agreement(const Shape& shape, Dtype type, double smoothing) {
  const Tensor x = random(shape, 1, type, -4, 4), labels = labels_for(shape),
               dloss = full({1}, 1.5);
  Tensor loss[2], p[2], dx[2], fused_loss[2], fused[2];
  for (int i = 0; i < 2; ++i) {
    const auto& op = kernels::softmax_cross_entropy(both[i]);
    loss[i] = poisoned({1}), p[i] = poisoned(shape), dx[i] = poisoned(shape, type);
    op.forward({}, {smoothing}, x.view(), labels.view(), loss[i].view(), p[i].view());
    fused_loss[i] = poisoned({1}), fused[i] = poisoned(shape, type);
    for (bool accumulate : {false, true}) {
      op.grad({}, {smoothing}, p[i].view(), labels.view(), dloss.view(), dx[i].view(), accumulate);
      op.forward_grad({}, {smoothing}, x.view(), labels.view(), dloss.view(), fused_loss[i].view(),
                      fused[i].view(), accumulate);
    }
    EXPECT_TRUE(tail_is_zero(p[i]) && tail_is_zero(dx[i]) && tail_is_zero(fused[i])) << both[i];
    EXPECT_EQ(item(fused_loss[i]), item(loss[i])) << both[i];
  }
  EXPECT_LE(error(loss[1], loss[0]), bound);
  EXPECT_LE(error(p[1], p[0]), bound);
  expect_near(dx[1], dx[0]);
  expect_near(fused[1], fused[0]);
  expect_near(fused[0], dx[0]);
}

TEST(SoftmaxCrossEntropy, EveryPassAgreesWithTheReference) {
  for (const auto& c : kernels::softmax_cross_entropy_cases)
    for (Dtype type : activation_types)
      for (double smoothing : {0., 0.1, 1.}) {
        if (std::string(c.tag) != "ci") continue;
        std::ostringstream what;
        what << c.x << " in " << type << ", smoothing " << smoothing;
        SCOPED_TRACE(what.str());
        expect_agreement(c.x, type, smoothing);
      }
}

TEST(SoftmaxCrossEntropy, ComputesWhatItShould) {
  const Tensor x = from_vector<float>({2, 2}, {0, 0, float(std::log(3)), 0});
  const Tensor labels = from_vector<int64_t>({2}, {1, 0});
  const double first = std::log(2), right = -std::log(0.75), wrong = -std::log(0.25);
  for (Backend b : both) {
    BackendScope scope(b);
    EXPECT_NEAR(item(softmax_cross_entropy(x, labels)), (first + right) / 2, 1e-6);
    EXPECT_NEAR(item(softmax_cross_entropy(x, labels, {.smoothing = 0.2})),
                (first + 0.9 * right + 0.1 * wrong) / 2, 1e-6);
    const std::vector<float> p = to_vector<float>(softmax(x));
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(p[i], (std::vector{0.5, 0.5, 0.75, 0.25})[i], 1e-6);
  }
}

TEST(SoftmaxCrossEntropy, LargeLogitsDoNotOverflow) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const Tensor x = from_vector<float>({3, 3}, {1e4f, 0, -1e4f, -1e30f, 0, 3e38f, 0, -inf, 0});
  const Tensor labels = from_vector<int64_t>({3}, {0, 2, 0});
  for (Backend b : both) {
    BackendScope scope(b);
    const Tensor leaf = parameter(x);
    const Tensor loss = softmax_cross_entropy(leaf, labels);
    EXPECT_NEAR(item(loss), std::log(2) / 3, 1e-6);
    backward(loss);
    const std::vector<float> want = {0, 0, 0, 0, 0, 0, -1.f / 6, 0, 1.f / 6};
    for (size_t i = 0; i < 9; ++i)
      EXPECT_NEAR(to_vector<float>(gradient(leaf))[i], want[i], 1e-6) << b;
    const Tensor bad = from_vector<float>({1, 2}, {std::nanf(""), 0});
    EXPECT_TRUE(std::isnan(item(softmax_cross_entropy(bad, from_vector<int64_t>({1}, {1}))))) << b;
  }
}

TEST(SoftmaxCrossEntropy, ReadsSlicesAndLeavesNeighboursAlone) {
  const Tensor x = random({4, 5}), labels = labels_for({4, 5}), one = full({1}, 1);
  for (Backend b : both) {
    const auto& op = kernels::softmax_cross_entropy(b);
    const Slice from(x, 1, 2), p({4, 5}, 2, 2), dx({4, 5}, 3, 1);
    Tensor loss[2] = {empty({1}), empty({1})}, want_p = empty({4, 5}), want = empty({4, 5});
    op.forward({}, {0.1}, x.view(), labels.view(), loss[0].view(), want_p.view());
    op.grad({}, {0.1}, want_p.view(), labels.view(), one.view(), want.view(), false);
    op.forward({}, {0.1}, from.part.view(), labels.view(), loss[1].view(), p.part.view());
    op.grad({}, {0.1}, p.part.view(), labels.view(), one.view(), dx.part.view(), false);
    EXPECT_EQ(item(loss[1]), item(loss[0])) << b;
    EXPECT_EQ(to_vector<float>(p.part), to_vector<float>(want_p)) << b;
    EXPECT_EQ(to_vector<float>(dx.part), to_vector<float>(want)) << b;
    EXPECT_TRUE(p.neighbours_untouched() && dx.neighbours_untouched()) << b;
  }
}

TEST(SoftmaxCrossEntropy, SoftmaxTakesAnyRank) {
  for (const Shape& shape : {Shape{5}, {0, 3}, {3, 0}, {2, 3, 4, 5, 3}, {2, 1, 3, 1, 45}}) {
    const Tensor x = random(shape);
    Tensor p[2] = {poisoned(shape), poisoned(shape)};
    for (int i = 0; i < 2; ++i) {
      kernels::softmax_cross_entropy(both[i]).softmax({}, x.view(), p[i].view());
      EXPECT_TRUE(tail_is_zero(p[i]));
    }
    EXPECT_LE(error(p[1], p[0]), bound) << shape;
  }
}

TEST(SoftmaxCrossEntropy, GradientsAreRight) {
  const Tensor labels = labels_for({3, 7});
  for (double smoothing : {0., 0.1, 1.})
    EXPECT_TRUE(gradient_is_right(
        [&](const std::vector<Tensor>& in) {
          return softmax_cross_entropy(in[0], labels, {.smoothing = smoothing});
        },
        {random({3, 7}, 1, Dtype::f64)}));
}

TEST(SoftmaxCrossEntropy, OnMetaOnlyShapesAreChecked) {
  const Tensor x = empty({4, 5}, Dtype::f32, Device::meta),
               labels = empty({4}, Dtype::i64, Device::meta);
  EXPECT_EQ(softmax_cross_entropy(x, labels).shape(), (Shape{1}));
}

TEST(SoftmaxCrossEntropy, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3}), good = labels_for({2, 3});
  auto says = [&](const Tensor& logits, const Tensor& labels, double smoothing) {
    std::string text = refusal([&] { softmax_cross_entropy(logits, labels, {smoothing}); });
    BackendScope scope(Backend::reference);
    EXPECT_EQ(refusal([&] { softmax_cross_entropy(logits, labels, {smoothing}); }), text);
    return text;
  };
  EXPECT_EQ(says(x, from_vector<int64_t>({2}, {0, 3}), 0),
            "softmax_cross_entropy: labels must be in [0,3), got 3 in row 1");
  EXPECT_EQ(says(x, from_vector<int64_t>({2}, {-1, 0}), 0),
            "softmax_cross_entropy: labels must be in [0,3), got -1 in row 0");
  EXPECT_EQ(says(empty({0, 3}), empty({0}, Dtype::i64), 0),
            "softmax_cross_entropy: expected at least one row, got logits [0,3]");
  EXPECT_EQ(says(x, from_vector<int64_t>({3}, {0, 1, 2}), 0),
            "softmax_cross_entropy: labels must be i64 [2], got i64 [3]");
  EXPECT_EQ(says(x, random({2}), 0), "softmax_cross_entropy: labels must be i64 [2], got f32 [2]");
  EXPECT_EQ(says(random({3}), good, 0), "softmax_cross_entropy: logits must be [N,K], got [3]");
  EXPECT_EQ(says(x, good, 1.5), "softmax_cross_entropy: smoothing must be in [0,1], got 1.5");
  EXPECT_EQ(refusal([&] { softmax(parameter(x)); }),
            "softmax: has no gradient; run it under NoGrad or on a detached tensor");
  for (Backend b : both) {
    const auto& op = kernels::softmax_cross_entropy(b);
    EXPECT_EQ(refusal([&] { op.softmax({}, x.view(), good.view()); }),
              "softmax: p must be [2,3], got [2]");
    EXPECT_EQ(refusal([&] { op.grad({}, {}, x.view(), good.view(), x.view(), x.view(), false); }),
              "softmax_cross_entropy: the loss must be f32 [1], got f32 [2,3]");
    const Tensor one = full({1}, 1), narrow = random({2, 3}, 1, Dtype::bf16);
    EXPECT_EQ(refusal([&] {
                op.forward_grad({}, {}, x.view(), good.view(), one.view(), one.view(),
                                narrow.view(), false);
              }),
              "softmax_cross_entropy: dlogits must be f32 [2,3], got bf16 [2,3]");
    EXPECT_EQ(refusal([&] {
                op.forward_grad({}, {}, x.view(), from_vector<int64_t>({2}, {0, 3}).view(),
                                one.view(), one.view(), x.view(), false);
              }),
              "softmax_cross_entropy: labels must be in [0,3), got 3 in row 1");
  }
}

}  // namespace
}  // namespace kinema::test
