#include "engine/train/mixup.h"
#include <algorithm>
#include "engine/ops/softmax_cross_entropy.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using engine::train::draw_beta, engine::train::loss_of, engine::train::mixup,
    engine::train::Mixture;

/// Clip n holds the number n everywhere; its label is n.
struct Numbered {
  Tensor clips, labels;
  explicit Numbered(int64_t count)
      : clips(empty({count, 2, 3, 5, 3})), labels(empty({count}, Dtype::i64)) {
    for (int64_t n = 0; n < count; ++n) {
      fill({clips.storage, clips.layout.slice(0, n, 1), nullptr}, double(n));
      data<int64_t>(labels)[n] = n;
    }
  }
};

/// Mean and variance over 4,000 draws: Beta(a, a) has 1/2 and 1 / (4 (2 a + 1)). Five standard
/// errors of a mean of 4,000 numbers in [0, 1] are below 0.04; the variance's below 0.01.
TEST(Mixup, SharesFollowTheBetaDistribution) {
  for (double alpha : {0.001, 0.2, 0.4, 1.0, 3.0}) {
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < 4000; ++i) {
      const double share = draw_beta(alpha, {i, 7});
      EXPECT_TRUE(share >= 0 && share <= 1) << share;
      sum += share;
      squares += share * share;
    }
    const double mean = sum / 4000;
    EXPECT_NEAR(mean, 0.5, 0.04) << alpha;
    EXPECT_NEAR(squares / 4000 - mean * mean, 1 / (4 * (2 * alpha + 1)), 0.01) << alpha;
  }
}

TEST(Mixup, BetaOfOneIsUniform) {
  int64_t quarter[4] = {};
  for (uint64_t i = 0; i < 4000; ++i) ++quarter[std::min(3, int(4 * draw_beta(1, {i, 3})))];
  // 1000 each; five standard deviations of a binomial of 4,000 draws are 137.
  for (int64_t count : quarter) EXPECT_NEAR(double(count), 1000, 137);
}

TEST(Mixup, ClipsAndLabelsGoTogether) {
  const Numbered batch(6);
  RandomScope random(1, 5);
  const Mixture m = mixup(batch.clips, batch.labels, 1);
  const double share = m.share;
  EXPECT_TRUE(share > 0 && share < 1);
  std::vector<int64_t> partners = to_vector<int64_t>(m.targets.partners);
  for (int64_t n = 0; n < 6; ++n) {
    const double want = share * double(n) + (1 - share) * double(partners[size_t(n)]);
    const Tensor clip{m.clips.storage, m.clips.layout.slice(0, n, 1), nullptr};
    for (float v : to_vector<float>(clip)) EXPECT_NEAR(v, want, 1e-6);
  }
  EXPECT_EQ(to_vector<int64_t>(m.targets.labels), to_vector<int64_t>(batch.labels));
  std::sort(partners.begin(), partners.end());
  EXPECT_EQ(partners, to_vector<int64_t>(batch.labels));
  // What was given is not written into.
  EXPECT_EQ(to_vector<float>(batch.clips), to_vector<float>(Numbered(6).clips));
}

TEST(Mixup, SeedAndStepDecide) {
  const Numbered batch(8);
  auto drawn = [&](uint64_t seed, uint64_t step) {
    RandomScope random(seed, step);
    const Mixture m = mixup(batch.clips, batch.labels, 0.4);
    return std::pair(m.share, to_vector<int64_t>(m.targets.partners));
  };
  EXPECT_EQ(drawn(1, 2), drawn(1, 2));
  EXPECT_NE(drawn(1, 2).first, drawn(1, 3).first);
  EXPECT_NE(drawn(1, 2).second, drawn(2, 2).second);
}

TEST(Mixup, OfNothingIsTheBatchItself) {
  const Numbered batch(3);
  const Mixture m = mixup(batch.clips, batch.labels, 0);  // outside of any RandomScope
  EXPECT_EQ(m.clips.storage, batch.clips.storage);
  EXPECT_FALSE(m.targets.partners);
  RandomScope random(1, 1);
  const Numbered one(1);
  EXPECT_EQ(to_vector<float>(mixup(one.clips, one.labels, 1).clips), to_vector<float>(one.clips));
}

TEST(Mixup, Refusals) {
  const Numbered batch(3);
  EXPECT_EQ(refusal([&] { mixup(batch.clips, batch.labels, -1); }),
            "mixup: alpha must not be negative, got -1");
  EXPECT_EQ(refusal([&] { mixup(batch.clips, batch.labels, 1); }),
            "mixup: random numbers are drawn only inside a RandomScope");
}

TEST(Loss, OfAMixtureIsTheMixtureOfLosses) {
  const Tensor scores = parameter(random({4, 3}, 1)), plain = parameter(scores.detach());
  const Tensor a = from_vector<int64_t>({4}, {0, 1, 2, 0}),
               b = from_vector<int64_t>({4}, {2, 1, 0, 1});
  const Tensor mixed =
      loss_of(scores, {a, b, from_vector<float>({2}, {0.25, 0.75})}, {.label_smoothing = 0.1});
  const double first = item(loss_of(scores.detach(), {a}, {.label_smoothing = 0.1})),
               second = item(loss_of(scores.detach(), {b}, {.label_smoothing = 0.1}));
  EXPECT_NE(first, second);
  EXPECT_NEAR(item(mixed), 0.25 * first + 0.75 * second, 1e-6);
  backward(mixed);
  const SoftmaxCrossEntropyOptions smoothed{.smoothing = 0.1};
  backward(softmax_cross_entropy(plain, a, smoothed), full({1}, 0.25));
  backward(softmax_cross_entropy(plain, b, smoothed), full({1}, 0.75));
  EXPECT_LE(error(gradient(scores), gradient(plain)), 4 * epsilon(Dtype::f32));
}

}  // namespace
}  // namespace kinema::test
