#include "engine/train/average_precision.h"
#include "engine/train/metrics.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using namespace kinema::engine::train;

TEST(AveragePrecision, IsThePrecisionAtEachHit) {
  // Hits at ranks 1 and 3 of 4: (1/1 + 2/3) / 2.
  EXPECT_DOUBLE_EQ(average_precision({0.1, 0.9, 0.5, 0.4}, {false, true, false, true}),
                   (1. + 2. / 3) / 2);
  EXPECT_DOUBLE_EQ(average_precision({3, 2, 1}, {true, true, false}), 1);
  EXPECT_DOUBLE_EQ(average_precision({1, 2, 3}, {true, false, false}), 1. / 3);
  // scikit-learn's example: 0.83.
  EXPECT_NEAR(average_precision({0.1, 0.4, 0.35, 0.8}, {false, false, true, true}), 0.8333, 1e-4);
}

TEST(AveragePrecision, EqualScoresShareAThreshold) {
  // In any order: the share of positives.
  EXPECT_DOUBLE_EQ(average_precision({1, 1, 1, 1}, {true, false, false, false}), 0.25);
  EXPECT_DOUBLE_EQ(average_precision({1, 1, 1, 1}, {false, false, false, true}), 0.25);
  EXPECT_DOUBLE_EQ(average_precision({NAN, 2, 1}, {true, false, false}), 1. / 3);
  EXPECT_TRUE(std::isnan(average_precision({1, 2}, {false, false})));
}

TEST(AveragePrecision, IsMeantOverClassesThatAreShown) {
  // Class 0: hit at rank 2 of 3; class 1: at ranks 1 and 2; class 2: nowhere.
  const std::vector<std::vector<double>> scores{{0.5, 0.9, 1}, {0.9, 0.8, 0}, {0.1, 0.7, 0}};
  EXPECT_DOUBLE_EQ(mean_average_precision(scores, {{0, 1}, {1}, {}}), (0.5 + 1) / 2);
  EXPECT_TRUE(std::isnan(mean_average_precision({}, {})));
  EXPECT_EQ(refusal([&] { mean_average_precision(scores, {}); }),
            "average precision: expected labels of 3 videos, got 0");
}

TEST(AveragePrecision, SigmoidsDoNotOverflow) {
  EXPECT_EQ(sigmoid({0, 1e4, -1e4}), (std::vector<double>{0.5, 1, 0}));
  EXPECT_NEAR(sigmoid({std::log(3.)})[0], 0.75, 1e-15);
}

TEST(AveragePrecision, OfSeveralLabelsAnyCountsAsFound) {
  Metrics m(6);
  m.add(std::vector<double>{6, 5, 4, 3, 2, 1}, std::vector<int64_t>{1, 0});
  m.add(std::vector<double>{6, 5, 4, 3, 2, 1}, std::vector<int64_t>{4, 5});
  m.add(std::vector<double>{6, 5, 4, 3, 2, 1}, std::vector<int64_t>{5});
  EXPECT_DOUBLE_EQ(m.top1(), 1. / 3);
  EXPECT_DOUBLE_EQ(m.top5(), 2. / 3);
  EXPECT_EQ(m.confusion()[0][0], 1);
  EXPECT_EQ(m.confusion()[4][0], 1);
}

}  // namespace
}  // namespace kinema::test
