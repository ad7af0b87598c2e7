#include "engine/train/metrics.h"
#include "engine/train/evaluate.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using engine::train::Average, engine::train::average_views, engine::train::highest,
    engine::train::Metrics, engine::train::softmax;

TEST(Metrics, CountsFirstAndFifth) {
  Metrics m(7);
  m.add({0, 1, 2, 3, 4, 5, 6}, 6);  // first
  m.add({0, 1, 2, 3, 4, 5, 6}, 2);  // fifth
  m.add({0, 1, 2, 3, 4, 5, 6}, 1);  // sixth
  m.add({9, 1, 2, 3, 4, 5, 6}, 0);
  EXPECT_EQ(m.count(), 4);
  EXPECT_EQ(m.top1(), 0.5);
  EXPECT_EQ(m.top5(), 0.75);
  EXPECT_EQ(m.confusion()[2][6], 1);
  EXPECT_EQ(m.confusion()[6][6], 1);
  EXPECT_EQ(m.confusion()[0][0], 1);
}

TEST(Metrics, FewerThanFiveClassesAreAlwaysInTheTopFive) {
  Metrics m(2);
  m.add({1, 0}, 1);
  EXPECT_EQ(m.top1(), 0);
  EXPECT_EQ(m.top5(), 1);
}

TEST(Metrics, OfEqualScoresTheFirstCounts) {
  Metrics m(3);
  m.add({1, 1, 1}, 0);
  m.add({1, 1, 1}, 1);
  EXPECT_EQ(m.top1(), 0.5);
}

TEST(Metrics, NanIsWrong) {
  Metrics m(3);
  m.add({NAN, 1, 0}, 1);
  m.add({NAN, NAN, NAN}, 0);
  EXPECT_EQ(m.top1(), 0);
  EXPECT_EQ(m.top5(), 0);
  EXPECT_EQ(m.count(), 2);
}

TEST(Metrics, ReadsRowsOfTensors) {
  Metrics m(5);
  const Tensor scores = from_vector<float>({2, 5}, {0, 0, 1, 0, 0, 3, 0, 1, 0, 0});
  m.add(scores, from_vector<int64_t>({2}, {2, 1}));
  EXPECT_EQ(m.top1(), 0.5);
  EXPECT_EQ(m.confusion()[1][0], 1);
}

TEST(Metrics, LossIsTheMeanOverSamples) {
  Metrics m(2);
  EXPECT_TRUE(std::isnan(m.loss()));
  m.add_loss(1, 3);
  m.add_loss(5, 1);
  EXPECT_EQ(m.loss(), 2);
}

TEST(Metrics, Refusals) {
  Metrics m(3);
  EXPECT_EQ(refusal([&] { m.add({1, 2}, 0); }), "metrics: expected 3 scores, got 2");
  EXPECT_EQ(refusal([&] { m.add({1, 2, 3}, 3); }), "metrics: expected a label below 3, got 3");
  EXPECT_EQ(refusal([&] { m.add({1, 2, 3}, -1); }), "metrics: expected a label below 3, got -1");
  EXPECT_EQ(refusal([&] {
              m.add(random({2, 3}), from_vector<int64_t>({1}, {0}));
            }),
            "metrics: 2 rows of scores came with 1 labels");
  EXPECT_EQ(refusal([&] { m.add(random({3}), from_vector<int64_t>({1}, {0})); }),
            "metrics: expected scores [N,classes], got [3]");
}

TEST(Highest, SortsAndCutsOff) {
  EXPECT_EQ(highest({1, NAN, 3, 2}, 3), (std::vector<int64_t>{2, 3, 0}));
  EXPECT_EQ(highest({1, 2}, 5), (std::vector<int64_t>{1, 0}));
}

/// Bounds: exp, a sum of two and a division, each rounded once: some units of 2^-52.
TEST(AverageViews, OfProbabilitiesAndOfScoresDiffer) {
  const double e = std::exp(2);
  EXPECT_NEAR(softmax({0, 2})[1], e / (1 + e), 1e-15);
  EXPECT_NEAR(softmax({1000, 1002})[0], 1 / (1 + e), 1e-15);  // no overflow
  // Two views, sure of opposite classes by 2 and by 4.
  const std::vector<std::vector<double>> views{{2, 0}, {0, 4}};
  const double soft = (e / (1 + e) + 1 / (1 + std::exp(4))) / 2;
  EXPECT_NEAR(average_views(views, Average::softmax)[0], soft, 1e-15);
  EXPECT_NEAR(average_views(views, Average::logits)[0], 1 / (1 + std::exp(1)), 1e-15);
  EXPECT_GT(std::abs(soft - 1 / (1 + std::exp(1))), 0.1);
}

}  // namespace
}  // namespace kinema::test
