#include "engine/autograd.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/views.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

/// y = 2x as an operation of its own, so that the tape is tested without any other.
Tensor twice(const Tensor& x) {
  Tensor y = empty_like(x);
  copy(x, y);
  copy(x, y, true);
  return record("twice", y, {x}, [](const Tensor& dy, Gradients& to) {
    if (!to.wants(0)) return;
    Target dx = to.target(0);
    copy(dy, dx.grad, dx.accumulate);
    copy(dy, dx.grad, true);
  });
}

/// y = a + b; hands its gradient on as it is.
Tensor sum(const Tensor& a, const Tensor& b) {
  Tensor y = empty_like(a);
  copy(a, y);
  copy(b, y, true);
  return record("sum", y, {a, b}, [](const Tensor& dy, Gradients& to) {
    to.pass(0, dy);
    to.pass(1, dy);
  });
}

std::vector<float> filled(int64_t n, float value) {
  return std::vector<float>(static_cast<size_t>(n), value);
}

TEST(Autograd, BranchesAddUp) {
  const Tensor x = parameter(random({2, 3}));
  const Tensor h = twice(x);
  backward(sum(sum(twice(h), h), h), full({2, 3}, 1));
  EXPECT_EQ(to_vector<float>(gradient(x)), filled(6, 8));
}

TEST(Autograd, AGradientHandedToTwoIsNotWrittenInto) {
  const Tensor a = twice(parameter(random({4})));
  const Tensor p = parameter(random({4}));
  const Tensor b = twice(p);
  const Tensor dy = full({4}, 1);
  backward(sum(sum(a, b), b), dy);
  EXPECT_EQ(to_vector<float>(gradient(p)), filled(4, 4));
  EXPECT_EQ(to_vector<float>(dy), filled(4, 1));
}

TEST(Autograd, GradientsOfTwoPassesAddUntilCleared) {
  const Tensor x = parameter(random({3}));
  backward(twice(x), full({3}, 1));
  backward(twice(x), full({3}, 1));
  EXPECT_EQ(to_vector<float>(gradient(x)), filled(3, 4));
  clear_gradient(x);
  EXPECT_FALSE(gradient(x));
  backward(twice(x), full({3}, 1));
  EXPECT_EQ(to_vector<float>(gradient(x)), filled(3, 2));
}

TEST(Autograd, ALongChainNeedsNoStack) {
  const Tensor x = parameter(full({1}, 1));
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = sum(y, y.detach());
  backward(y, full({1}, 1));
  EXPECT_EQ(item(gradient(x)), 1);
  Tensor dropped = x;
  for (int i = 0; i < 100000; ++i) dropped = sum(dropped, dropped.detach());
}

TEST(Autograd, NoGradLeavesNoTape) {
  const Tensor x = parameter(random({3}));
  NoGrad off;
  EXPECT_FALSE(wants_grad(twice(x)));
}

TEST(Autograd, ARuleRunsOnTheBackendOfItsForward) {
  const Tensor x = parameter(random({2, 3}, 1, Dtype::f64));
  Tensor y;
  {
    BackendScope scope(Backend::reference);  // the only one that takes f64
    y = relu(x);
  }
  backward(y, full({2, 3}, 1, Dtype::f64));
  EXPECT_EQ(gradient(x).dtype(), Dtype::f64);
  EXPECT_EQ(choice_for("pointwise", Device::cpu).first, Backend::cpu);
}

TEST(Autograd, RefusesATapeWalkedBeforeAndAConstant) {
  const Tensor y = twice(parameter(random({1})));
  backward(y);
  EXPECT_EQ(refusal([&] { backward(y); }),
            "backward: this tape was walked before; run the forward pass again");
  EXPECT_EQ(refusal([&] { backward(random({1})); }),
            "backward: the tensor depends on no parameter");
  EXPECT_EQ(refusal([&] { backward(twice(parameter(random({2})))); }),
            "backward: a gradient must be given for a tensor of shape [2]");
}

TEST(Views, SlicesShareMemoryAndTheirGradientsAddInPlace) {
  const Tensor x = parameter(random({2, 4, 1, 1, 6}));
  const Tensor h = twice(x);
  const Tensor early = slice(h, 1, 0, 3), late = slice(h, 1, 1, 3);
  EXPECT_EQ(early.storage, h.storage);
  backward(sum(early, late), full({2, 3, 1, 1, 6}, 1));
  std::vector<float> want;
  for (int n = 0; n < 2; ++n)
    for (float g : {2.f, 4.f, 4.f, 2.f}) want.insert(want.end(), 6, g);
  EXPECT_EQ(to_vector<float>(gradient(x)), want);
}

TEST(Views, ATimeStrideIsAView) {
  const Tensor x = parameter(random({1, 5, 1, 2, 3}));
  const Tensor odd = slice(x, 1, 1, 2, 2);
  EXPECT_EQ(odd.storage, x.storage);
  backward(odd, full(odd.shape(), 1));
  std::vector<float> want;
  for (float g : {0.f, 1.f, 0.f, 1.f, 0.f}) want.insert(want.end(), 6, g);
  EXPECT_EQ(to_vector<float>(gradient(x)), want);
}

TEST(Views, ReshapeSharesMemoryWhereStridesAllow) {
  const Tensor x = parameter(random({2, 3, 4, 5, 45}));
  const Tensor h = twice(x);
  const int64_t before = packed_bytes();
  const Tensor folded = reshape(h, {6, 1, 4, 5, 45});
  EXPECT_EQ(folded.storage, h.storage);
  EXPECT_EQ(folded.layout.tail, 3);
  EXPECT_EQ(to_vector<float>(folded), to_vector<float>(h));
  EXPECT_EQ(packed_bytes(), before);
  const Tensor flat = reshape(folded, {2, 3 * 4 * 5 * 45});
  EXPECT_NE(flat.storage, h.storage);  // 3 zero lanes lie between the pixels
  EXPECT_GT(packed_bytes(), before);
  EXPECT_EQ(to_vector<float>(flat), to_vector<float>(h));
  backward(flat, full(flat.shape(), 1));
  EXPECT_EQ(to_vector<float>(gradient(x)), filled(x.size(), 2));
  EXPECT_TRUE(tail_is_zero(gradient(x)));
}

TEST(Views, ConcatOfSlicesCopiesNothing) {
  const Tensor a = parameter(random({2, 1, 2, 2, 3}, 1)), b = parameter(random({2, 1, 2, 2, 4}, 2));
  Tensor whole = full({2, 1, 2, 2, 7}, 5);
  auto into = [](const Tensor& x, const Tensor& part) {
    copy(x, part);
    return record("into", part, {x}, [](const Tensor& dy, Gradients& to) { to.pass(0, dy); });
  };
  const Tensor left = into(a, slice(whole, 4, 0, 3)), right = into(b, slice(whole, 4, 3, 4));
  const Tensor y = concat({left, right}, 4);
  EXPECT_EQ(y.storage, whole.storage);
  EXPECT_TRUE(tail_is_zero(y));
  backward(y, random(y.shape(), 3));
  const Tensor dy = random(y.shape(), 3);
  EXPECT_EQ(to_vector<float>(gradient(a)), to_vector<float>(slice(dy, 4, 0, 3)));
  EXPECT_EQ(to_vector<float>(gradient(b)), to_vector<float>(slice(dy, 4, 3, 4)));
}

TEST(Views, GradientsByCentralDifferences) {
  const Tensor a = random({2, 3, 2, 2, 5}, 1, Dtype::f64),
               b = random({2, 3, 2, 2, 3}, 2, Dtype::f64);
  EXPECT_TRUE(gradient_is_right(
      [](const std::vector<Tensor>& in) {
        const Tensor joined = concat({in[0], in[1]}, -1);
        const Tensor part = slice(slice(joined, 4, 2, 4), 1, 0, 2, 2);
        const Tensor order = permute(part, {0, 2, 3, 1, 4});
        return sum(reshape(order, {2, 32}), reshape(contiguous(order), {2, 32}));
      },
      {a, b}));
}

TEST(Views, RefuseWhatDoesNotFit) {
  const Tensor x = random({2, 3});
  EXPECT_EQ(refusal([&] { reshape(x, {4, 2}); }), "reshape: [2,3] has 6 elements, [4,2] has 8");
  EXPECT_EQ(refusal([&] { slice(x, 0, 1, 2); }), "slice: [1 +2 by 1] leaves axis 0 of [2,3]");
  EXPECT_EQ(refusal([&] { slice(x, 1, 0, 1, 2); }), "slice: the last axis takes no step, got 2");
  EXPECT_EQ(refusal([&] {
              concat({x, random({2, 3, 1})}, 0);
            }),
            "concat: parts must agree, got f32 [2,3] and f32 [2,3,1]");
}

}  // namespace
}  // namespace kinema::test
