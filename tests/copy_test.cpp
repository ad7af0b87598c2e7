#include "kernels/copy/copy.h"
#include "engine/ops/copy.h"
#include "kernels/copy/copy_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

TEST(Copy, MovesEveryElementAndZeroesTails) {
  for (const auto& c : kernels::copy_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Backend b : both) {
      const Tensor x = random(c.x);
      Tensor y = poisoned(c.x);
      kernels::copy(b).forward({}, x.view(), y.view(), false);
      EXPECT_EQ(to_vector<float>(y), to_vector<float>(x)) << c.x << " on " << b;
      EXPECT_TRUE(tail_is_zero(y)) << c.x << " on " << b;
    }
  }
}

TEST(Copy, Accumulates) {
  for (Backend b : both)
    for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 4, 5, 6}}) {
      const Tensor x = random(shape, 1), before = random(shape, 2);
      Tensor y = empty_like(before);
      kernels::copy(b).forward({}, before.view(), y.view(), false);
      kernels::copy(b).forward({}, x.view(), y.view(), true);
      std::vector<float> want = to_vector<float>(before);
      for (size_t i = 0; i < want.size(); ++i) want[i] += to_vector<float>(x)[i];
      EXPECT_EQ(to_vector<float>(y), want) << shape << " on " << b;
    }
}

TEST(Copy, LeavesTheNeighboursOfASliceAlone) {
  for (Backend b : both) {
    const Tensor x = random({2, 3, 2, 5, 5});
    const Slice from(x, 3, 4);
    const Slice to(x.shape(), 2, 1);
    kernels::copy(b).forward({}, from.part.view(), to.part.view(), false);
    EXPECT_EQ(to_vector<float>(to.part), to_vector<float>(x));
    EXPECT_TRUE(to.neighbours_untouched());
    kernels::copy(b).fill({}, to.part.view(), 7);
    EXPECT_TRUE(to.neighbours_untouched());
    EXPECT_EQ(to_vector<float>(to.part), std::vector<float>(size_t(x.size()), 7.f));
  }
}

TEST(Copy, CastsBetweenTypes) {
  for (Backend b : both) {
    const Tensor x = from_vector<uint8_t>({2, 3}, {0, 1, 2, 253, 254, 255});
    Tensor y = poisoned({2, 3}, Dtype::f32);
    kernels::copy(b).forward({}, x.view(), y.view(), false);
    EXPECT_EQ(to_vector<float>(y), (std::vector<float>{0, 1, 2, 253, 254, 255}));
    EXPECT_TRUE(tail_is_zero(y));
  }
}

TEST(Copy, RoundsOnceToNarrowTypes) {
  for (Backend b : both)
    for (Dtype type : {Dtype::bf16, Dtype::f16})
      for (const Shape& shape : {Shape{7}, Shape{2, 3, 4, 5, 11}}) {
        const Tensor x = random(shape, 1), more = random(shape, 2);
        Tensor y = poisoned(shape, type), back = poisoned(shape);
        kernels::copy(b).forward({}, x.view(), y.view(), false);
        kernels::copy(b).forward({}, y.view(), back.view(), false);
        EXPECT_TRUE(tail_is_zero(y) && tail_is_zero(back)) << type << " on " << b;
        // Half a unit in the last place at most, and as many values as rounding leaves.
        EXPECT_LE(error(back, x), epsilon(type) / 2) << type << " on " << b;
        kernels::copy(b).forward({}, more.view(), y.view(), true);
        const std::vector<float> before = floats(back), added = floats(more), sum = floats(y);
        kernels::dispatch_float("test", type, [&]<class T>(T) {
          for (size_t i = 0; i < sum.size(); ++i) {
            EXPECT_EQ(before[i], float(T(floats(x)[i])));
            EXPECT_EQ(sum[i], float(T(double(before[i]) + double(added[i]))))
                << type << " on " << b;
          }
        });
      }
}

TEST(Copy, CastsAreDifferentiable) {
  auto there_and_back = [](const std::vector<Tensor>& in) {
    const Tensor narrow = cast(in[0], Dtype::bf16);
    EXPECT_EQ(cast(narrow, Dtype::bf16).storage, narrow.storage);
    return cast(narrow, Dtype::f32);
  };
  const Tensor x = parameter(random({3, 5}, 1)), dy = random({3, 5}, 2);
  backward(there_and_back({x}), dy);
  EXPECT_EQ(floats(gradient(x)), floats(cast(dy, Dtype::bf16)));  // rounded on its way
  backward(there_and_back({x}), dy);
  for (size_t i = 0; i < 15; ++i)
    EXPECT_EQ(floats(gradient(x))[i], 2 * floats(cast(dy, Dtype::bf16))[i]);
}

TEST(Copy, FollowsFrameAndTimeSlices) {
  for (Backend b : both) {
    const Tensor x = random({2, 6, 3, 4, 5});
    const View odd = x.view().slice(1, 1, 3, 2).slice(2, 1, 2);
    Tensor y = poisoned(odd.shape);
    kernels::copy(b).forward({}, odd, y.view(), false);
    EXPECT_EQ(to_vector<float>(y), to_vector<float>(Tensor{x.storage, odd, nullptr}));
  }
}

TEST(Copy, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3}), y = random({2, 4}), z = random({2, 3}, 1, Dtype::f64);
  for (Backend b : both) {
    EXPECT_EQ(refusal([&] { kernels::copy(b).forward({}, x.view(), y.view(), false); }),
              "copy: y must be [2,3], got [2,4]");
    EXPECT_EQ(refusal([&] { kernels::copy(b).forward({}, x.view(), z.view(), true); }),
              "copy: to accumulate, x and y must have one type, got f32 and f64");
    const Tensor narrow = cast(x, Dtype::bf16);
    EXPECT_EQ(refusal([&] { kernels::copy(b).forward({}, narrow.view(), x.view(), true); }),
              "copy: to accumulate, x and y must have one type, got bf16 and f32");
  }
}

}  // namespace
}  // namespace kinema::test
