#include "kernels/pointwise/pointwise.h"
#include <limits>
#include "engine/nn/dropout.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/views.h"
#include "engine/random.h"
#include "kernels/base/philox.h"
#include "kernels/base/vector_math.h"
#include "kernels/pointwise/pointwise_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using kernels::DropoutOptions, kernels::Unary;

const Backend both[] = {Backend::reference, Backend::cpu};
const Unary unaries[] = {Unary::relu, Unary::sigmoid, Unary::tanh};

// sigmoid and tanh in f32 err by 2 units (see VectorMath); products and sums round twice more.
const double bound = 4 * epsilon(Dtype::f32);

/// A pass of pointwise on two inputs of one shape.
using Pass = std::function<void(const kernels::Pointwise&, View a, View b, View y)>;

/// Every pass, overwriting and accumulating.
std::vector<std::pair<std::string, Pass>> passes() {
  using Op = kernels::Pointwise;
  std::vector<std::pair<std::string, Pass>> all;
  for (Unary u : unaries) {
    const std::string name = name_of(u);
    all.emplace_back(name, [u](const Op& op, View a, View, View y) { op.forward({}, u, a, y); });
    for (bool more : {false, true})
      all.emplace_back(name + ".grad", [=](const Op& op, View a, View b, View y) {
        if (more) op.grad({}, u, b, a, y, false);
        op.grad({}, u, a, b, y, more);
      });
  }
  all.emplace_back("add", [](const Op& op, View a, View b, View y) { op.add({}, a, b, y); });
  all.emplace_back("scale", [](const Op& op, View a, View, View y) { op.scale({}, 1.7, a, y); });
  const Tensor step = full({1}, 7, Dtype::i64);
  const DropoutOptions o{.p = 0.3, .seed = 5, .place = 9, .call = 2};
  for (bool more : {false, true}) {
    all.emplace_back("multiply", [=](const Op& op, View a, View b, View y) {
      if (more) op.multiply({}, a, a, y, false);
      op.multiply({}, a, b, y, more);
    });
    all.emplace_back("dropout", [=](const Op& op, View a, View b, View y) {
      if (more) op.dropout({}, o, step.view(), b, y, false);
      op.dropout({}, o, step.view(), a, y, more);
    });
  }
  return all;
}

TEST(Pointwise, EveryPassAgreesWithTheReference) {
  for (const auto& c : kernels::pointwise_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : activation_types)
      for (const auto& [name, pass] : passes()) {
        const Tensor a = random(c.x, 1, type, -3, 3), b = random(c.x, 2, type);
        Tensor y[2] = {poisoned(c.x, type), poisoned(c.x, type)};
        for (int i = 0; i < 2; ++i) {
          pass(kernels::pointwise(both[i]), a.view(), b.view(), y[i].view());
          EXPECT_TRUE(tail_is_zero(y[i])) << name << c.x << both[i];
        }
        // What is added to was rounded too.
        EXPECT_LE(error(y[1], y[0]), bound + 2 * rounding(type)) << name << c.x << type;
      }
  }
}

TEST(Pointwise, ReadsSlicesAndLeavesNeighboursAlone) {
  for (Backend backend : both)
    for (Dtype type : activation_types)
      for (const auto& [name, pass] : passes()) {
        const Tensor a = random({2, 4, 3, 5, 5}, 1, type), b = random(a.shape(), 2, type);
        const Slice from_a(a, 3, 2), from_b(b, 1, 1);
        const auto& op = kernels::pointwise(backend);
        const Slice to(a.shape(), 2, 2, type);
        Tensor want = empty_like(a);
        pass(op, a.view(), b.view(), want.view());
        pass(op, from_a.part.view(), from_b.part.view(), to.part.view());
        EXPECT_EQ(floats(to.part), floats(want)) << name << backend << type;
        EXPECT_TRUE(to.neighbours_untouched()) << name << backend;
        // Every second frame, all rows but one; beside a dense tensor of the same shape.
        const Tensor frames{a.storage, a.view().slice(1, 1, 2, 2).slice(2, 0, 2), nullptr};
        const Tensor dense = empty(frames.shape(), type), other = random(frames.shape(), 3, type);
        copy(frames, dense);
        Tensor y[2] = {poisoned(frames.shape(), type), poisoned(frames.shape(), type)};
        pass(op, frames.view(), other.view(), y[0].view());
        pass(op, dense.view(), other.view(), y[1].view());
        EXPECT_EQ(floats(y[0]), floats(y[1])) << name << backend << type;
      }
}

TEST(Pointwise, ReluKeepsNaNInSight) {
  const Tensor x = from_vector<float>({3}, {std::nanf(""), -1, 2});
  for (Backend b : both) {
    BackendScope scope(b);
    const std::vector<float> y = to_vector<float>(relu(x));
    EXPECT_TRUE(std::isnan(y[0])) << b;
    EXPECT_EQ(y[1], 0);
    EXPECT_EQ(y[2], 2);
  }
}

TEST(Pointwise, GradientsAreRight) {
  // Away from 0, where relu has no derivative.
  const Tensor x = random({2, 3, 5}, 1, Dtype::f64, 0.1, 1), y = random({2, 3, 5}, 2, Dtype::f64);
  const Tensor minus = random({2, 3, 5}, 3, Dtype::f64, -1, -0.1);
  for (auto f : {relu, sigmoid, engine::tanh})
    EXPECT_TRUE(gradient_is_right(
        [f](const std::vector<Tensor>& in) {
          return concat({f(in[0]), f(in[1])}, 0);
        },
        {x, minus}));
  const std::vector<Function> binary = {
      [](const std::vector<Tensor>& in) { return add(in[0], in[1]); },
      [](const std::vector<Tensor>& in) { return multiply(in[0], in[1]); },
      [](const std::vector<Tensor>& in) { return multiply(in[0], add(in[0], in[1])); },
      [](const std::vector<Tensor>& in) { return multiply(add(in[0], in[0]), in[1]); },
      [](const std::vector<Tensor>& in) {
        RandomScope draws(7, 3);
        return dropout(multiply(in[0], in[1]), 0.4);
      }};
  for (const Function& f : binary) {
    EXPECT_TRUE(gradient_is_right(f, {x, y}));
    EXPECT_TRUE(
        matches_reference(f, {random({2, 3, 2, 5, 45}), random({2, 3, 2, 5, 45}, 2)}, bound));
  }
}

TEST(Pointwise, DropoutKeepsTheMeanAndScales) {
  const Tensor x = full({1000, 101}, 1), step = full({1}, 7, Dtype::i64);
  for (Backend b : both)
    for (double p : {0.25, 0.5, 0.9}) {
      Tensor y = poisoned(x.shape());
      kernels::pointwise(b).dropout({}, {.p = p, .seed = 1}, step.view(), x.view(), y.view(),
                                    false);
      double sum = 0;
      for (float v : to_vector<float>(y)) {
        EXPECT_TRUE(v == 0 || v == float(1 / (1 - p)));
        sum += double(v);
      }
      // The mean of 101000 draws strays by sqrt(p / (1 - p) / 101000): five times that is allowed.
      EXPECT_NEAR(sum / 101000, 1, 5 * std::sqrt(p / (1 - p) / 101000)) << p << b;
    }
}

TEST(Pointwise, DropoutTakesItsMaskFromPhilox) {
  // The words are published: counter 0 and key 0 give 6627e8d5 e169c58d bc57ac4c 9b00dbd8
  // (Random123's known answers).
  EXPECT_EQ(kernels::philox(0, 0)[0], 0x6627e8d5u);
  EXPECT_EQ(kernels::stream_of_draw(0, 0, 0), 0x6627e8d5e169c58du);
  const Tensor step = from_vector<int64_t>({1}, {(int64_t(1) << 40) + 3});
  const uint64_t stream = kernels::stream_of_draw(6, (uint64_t(1) << 40) + 3, 5);
  const Tensor x = full({3, 3}, 1);
  for (Backend b : both) {
    Tensor y = poisoned({3, 3});
    const DropoutOptions o{.p = 0.5, .seed = 4, .place = 5, .call = 6};
    kernels::pointwise(b).dropout({}, o, step.view(), x.view(), y.view(), false);
    const std::vector<float> got = to_vector<float>(y);
    for (size_t i = 0; i < 9; ++i)
      EXPECT_EQ(got[i], kernels::philox(i / 4, 4, stream)[i % 4] < 0x80000000u ? 0 : 2) << i << b;
    for (double p : {0., 1.}) {
      kernels::pointwise(b).dropout({}, {.p = p}, step.view(), x.view(), y.view(), false);
      EXPECT_EQ(to_vector<float>(y), std::vector<float>(9, p == 0 ? 1 : 0)) << b;
    }
  }
}

// What a step of training relies on: the step is read when the mask is drawn.
TEST(Pointwise, DropoutReadsTheStepFromMemory) {
  const Tensor x = full({4, 50}, 1), memory = full({1}, 0, Dtype::i64);
  const auto drawn = [&](uint64_t step, const Tensor& where) {
    RandomScope draws = where ? RandomScope(1, 99, where) : RandomScope(1, step);
    if (where) fill(where, double(step));
    return to_vector<float>(dropout(x, 0.5));
  };
  for (uint64_t step : {2, 3}) EXPECT_EQ(drawn(step, memory), drawn(step, {}));
  EXPECT_NE(drawn(2, memory), drawn(3, memory));
}

TEST(Pointwise, DropoutIsTheSameForTheSameDraw) {
  const Tensor x = full({4, 50}, 1);
  auto drawn = [&](uint64_t seed, uint64_t step, int call) {
    RandomScope draws(seed, step);
    Tensor y;
    for (int i = 0; i <= call; ++i) y = dropout(x, 0.5);
    return to_vector<float>(y);
  };
  EXPECT_EQ(drawn(1, 2, 0), drawn(1, 2, 0));
  EXPECT_NE(drawn(1, 2, 0), drawn(2, 2, 0));
  EXPECT_NE(drawn(1, 2, 0), drawn(1, 3, 0));
  EXPECT_NE(drawn(1, 2, 0), drawn(1, 2, 1));
  struct Net : nn::Module {
    nn::Dropout one{this, "one", 0.5}, two{this, "two", 0.5};
  } net;
  RandomScope draws(1, 1);
  EXPECT_NE(to_vector<float>(net.one.forward(x)), to_vector<float>(net.two.forward(x)));
  net.train(false);
  EXPECT_EQ(net.one.forward(x).storage, x.storage);
}

TEST(Pointwise, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3}), y = random({3, 2}), z = random({2, 3}, 1, Dtype::f64);
  EXPECT_EQ(refusal([&] { add(x, y); }), "add: shapes must agree, got [2,3] and [3,2]");
  EXPECT_EQ(refusal([&] { multiply(x, z); }), "multiply: types must agree, got f32 and f64");
  EXPECT_EQ(refusal([&] { dropout(x, 1.5); }), "dropout: p must be in [0,1], got 1.5");
  EXPECT_EQ(refusal([&] { dropout(x, 0.5); }),
            "dropout: random numbers are drawn only inside a RandomScope");
  EXPECT_EQ(refusal([&] { nn::Dropout(nullptr, "", -1); }), "dropout: p must be in [0,1], got -1");
  for (Backend b : both) {
    const auto& op = kernels::pointwise(b);
    EXPECT_EQ(refusal([&] { op.forward({}, Unary::tanh, x.view(), y.view()); }),
              "tanh: shapes must agree, got [2,3] and [3,2]");
    EXPECT_EQ(refusal([&] { op.grad({}, Unary::relu, x.view(), x.view(), y.view(), false); }),
              "relu: shapes must agree, got [2,3] and [3,2]");
    EXPECT_EQ(refusal([&] { op.scale({}, 2, x.view(), z.view()); }),
              "scale: types must agree, got f32 and f64");
    EXPECT_EQ(refusal([&] { op.dropout({}, {.p = -1}, x.view(), x.view(), x.view(), false); }),
              "dropout: p must be in [0,1], got -1");
    EXPECT_EQ(refusal([&] { op.dropout({}, {}, x.view(), x.view(), x.view(), false); }),
              "dropout: step must be i64 [1], got f32 [2,3]");
  }
}

TEST(VectorMath, IsGoodToTwoUnits) {
  double worst_exp = 0, worst_sigmoid = 0, worst_tanh = 0;
  for (float x = -87; x < 88; x += 0.003f) {
    const auto off = [](float got, double want) { return std::abs(double(got) / want - 1); };
    const double exact = std::exp(double(x));
    worst_exp = std::max(worst_exp, off(kernels::vector_exp(x), exact));
    worst_sigmoid = std::max(worst_sigmoid, off(kernels::vector_sigmoid(x), exact / (1 + exact)));
    worst_tanh = std::max(worst_tanh, off(kernels::vector_tanh(x), std::tanh(double(x))));
  }
  EXPECT_LE(worst_exp, 2 * epsilon(Dtype::f32));
  EXPECT_LE(worst_sigmoid, 2 * epsilon(Dtype::f32));
  EXPECT_LE(worst_tanh, 2 * epsilon(Dtype::f32));
  constexpr float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(kernels::vector_tanh(-inf), -1);
  EXPECT_EQ(kernels::vector_sigmoid(inf), 1);
  EXPECT_NEAR(kernels::vector_sigmoid(-inf), 0, 1e-37);
  EXPECT_TRUE(std::isnan(kernels::vector_exp(std::nanf(""))));
  EXPECT_TRUE(std::isnan(kernels::vector_tanh(std::nanf(""))));
}

}  // namespace
}  // namespace kinema::test
