#include "kernels/lerp/lerp.h"
#include "kernels/lerp/lerp_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

// Each number is rounded three times.
const double bound = 3 * epsilon(Dtype::f32);

void towards(Backend b, double t, const Tensor& x, const Tensor& y) {
  kernels::lerp(b).towards({}, full({1}, t, Dtype::f64).view(), x.view(), y.view());
}

TEST(Lerp, AgreesWithTheReferenceOnEveryCase) {
  for (const auto& c : kernels::lerp_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : activation_types) {
      const Tensor x = random(c.x, 1, type), a = random(c.x, 2, type), b = poisoned(c.x, type);
      Tensor elements = b.detach();
      elements.layout.tail = 0;
      copy(a, elements);
      towards(both[0], 0.3, x, a);
      towards(both[1], 0.3, x, b);
      EXPECT_LE(error(b, a), bound + rounding(type)) << c.x << type;
      EXPECT_TRUE(tail_is_zero(b)) << c.x << type;
    }
  }
}

TEST(Lerp, MovesByTheShare) {
  for (Backend b : both) {
    const Tensor x = from_vector<float>({2}, {4, -8}), y = from_vector<float>({2}, {0, 8});
    towards(b, 0, x, y);
    EXPECT_EQ(to_vector<float>(y), (std::vector<float>{0, 8}));
    towards(b, 0.25, x, y);
    EXPECT_EQ(to_vector<float>(y), (std::vector<float>{1, 4}));
    towards(b, 1, x, y);
    EXPECT_EQ(to_vector<float>(y), (std::vector<float>{4, -8}));
  }
}

TEST(Lerp, AShareOfNoneOrAllLooksAtOneSide) {
  const Shape shape{3, 5};
  for (Backend b : both)
    for (Dtype type : activation_types)
      for (double none : {double(std::nanf("")), double(INFINITY)}) {
        const Tensor good = random(shape, 1, type), bad = full(shape, none, type);
        Tensor y = random(shape, 2, type);
        const std::vector<float> before = floats(y);
        towards(b, 0, bad, y);
        EXPECT_EQ(floats(y), before) << b << type;
        fill(y, none);
        towards(b, 1, good, y);
        EXPECT_EQ(floats(y), floats(good)) << b << type;
        EXPECT_TRUE(tail_is_zero(y)) << b << type;
      }
}

TEST(Lerp, WritesSlicesAndLeavesNeighboursAlone) {
  for (Backend b : both) {
    const Tensor x = random({3, 5}, 1), y = random({3, 5}, 2);
    const Slice in(x, 1, 2), out(y, 3, 0);
    towards(b, 0.5, in.part, out.part);
    towards(b, 0.5, x, y);
    EXPECT_EQ(to_vector<float>(out.part), to_vector<float>(y)) << b;
    EXPECT_TRUE(out.neighbours_untouched()) << b;
  }
}

TEST(Lerp, RefusesWhatHasNoMeaning) {
  const Tensor y = random({3});
  for (Backend b : both) {
    EXPECT_EQ(refusal([&] { towards(b, 0.5, random({4}), y); }),
              "lerp: x must be f32 [3], got f32 [4]");
    EXPECT_EQ(refusal([&] { kernels::lerp(b).towards({}, y.view(), y.view(), y.view()); }),
              "lerp: the share must be f64 [1], got f32 [3]");
  }
}

}  // namespace
}  // namespace kinema::test
