#include "engine/nn/init.h"
#include <cmath>
#include "tests/support/check.h"

namespace kinema::test {
namespace {

struct Moments {
  double mean = 0, variance = 0, most = 0;
};

Moments moments(const Tensor& t) {
  Moments m;
  const std::vector<float> values = to_vector<float>(t);
  for (float v : values) {
    m.mean += double(v) / double(values.size());
    m.variance += double(v) * double(v) / double(values.size());
    m.most = std::max(m.most, std::abs(double(v)));
  }
  return m;
}

// Of 60000 draws the mean strays from 0 by deviation / 245 and the variance by a factor of
// sqrt(2 / 60000) = 0.6 %: five times that is allowed.
const Shape shape{300, 2, 5, 4, 5};

TEST(Init, HeNormalHasVarianceTwoByFanIn) {
  const Tensor t = empty(shape);
  nn::he_normal(t, 200, key_of(1, "conv.weight"));
  EXPECT_NEAR(moments(t).mean, 0, 0.1 * 5 / 245);
  EXPECT_NEAR(moments(t).variance, 0.01, 0.01 * 0.03);
}

TEST(Init, XavierUniformStaysInItsLimit) {
  const Tensor t = empty(shape);
  nn::xavier_uniform(t, 100, 50, key_of(1, "fc.weight"));
  EXPECT_NEAR(moments(t).mean, 0, 0.2 * 5 / 245);
  EXPECT_LE(moments(t).most, 0.2);
  EXPECT_GT(moments(t).most, 0.199);
  EXPECT_NEAR(moments(t).variance, 0.04 / 3, 0.04 / 3 * 0.03);
}

TEST(Init, NormalHasItsDeviation) {
  const Tensor t = empty(shape);
  nn::normal(t, 0.05, key_of(1, "fc.weight"));
  EXPECT_NEAR(moments(t).variance, 0.0025, 0.0025 * 0.03);
}

TEST(Init, SeedAndPlaceDecide) {
  auto draw = [](uint64_t seed, const char* place) {
    const Tensor t = empty({2, 5});
    nn::normal(t, 1, key_of(seed, place));
    EXPECT_TRUE(tail_is_zero(t));
    return to_vector<float>(t);
  };
  EXPECT_EQ(draw(1, "a"), draw(1, "a"));
  EXPECT_NE(draw(1, "a"), draw(2, "a"));
  EXPECT_NE(draw(1, "a"), draw(1, "b"));
}

TEST(Init, RefusesWhatHasNoMeaning) {
  const Tensor t = empty({2});
  EXPECT_EQ(refusal([&] { nn::he_normal(t, 0, {}); }),
            "he_normal: fan_in must be at least 1, got 0");
  EXPECT_EQ(refusal([&] { nn::xavier_uniform(t, 1, 0, {}); }),
            "xavier_uniform: fan_in and fan_out must be at least 1, got 1 and 0");
  EXPECT_EQ(refusal([&] { nn::normal(t, -1, {}); }),
            "normal: the deviation must not be negative, got -1");
}

}  // namespace
}  // namespace kinema::test
