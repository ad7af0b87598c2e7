#include "kernels/adamw/adamw.h"
#include <map>
#include "engine/nn/batch_norm.h"
#include "engine/nn/linear.h"
#include "engine/ops/pointwise.h"
#include "engine/optim/adamw.h"
#include "engine/optim/sgd.h"
#include "kernels/adamw/adamw_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

// Each number is rounded at most ten times on its way from w, g, m and v.
const double bound = 10 * epsilon(Dtype::f32);

const std::vector<AdamWOptions> rules = {{}, {.weight_decay = 0}, {.beta1 = 0, .beta2 = 0.5}};

Tensor update(const Update& u) {
  return from_vector<double>({4}, {u.rate, u.factor, u.apply, u.number});
}

struct Arrays {
  Tensor w, g, m, v;
  explicit Arrays(const Shape& shape)
      : w(random(shape, 1)),
        g(random(shape, 2)),
        m(random(shape, 3)),
        v(random(shape, 4, Dtype::f32, 0.01, 1)) {}
};

void step(Backend b, const AdamWOptions& o, const Update& u, const Tensor& w, const Tensor& g,
          const Tensor& m, const Tensor& v) {
  kernels::adamw(b).step({}, o, update(u).view(), w.view(), g.view(), m.view(), v.view(), {});
}

TEST(AdamW, WritesTheWorkingCopyInTheSamePass) {
  for (const Shape& shape : {Shape{50003}, Shape{3, 5}, Shape{2, 0}})
    for (Dtype type : {Dtype::bf16, Dtype::f16})
      for (Backend b : both) {
        const Tensor w = random(shape, 1), g = random(shape, 2), m = full(shape, 0),
                     v = full(shape, 0), working = poisoned(shape, type);
        const Tensor u = update({.rate = 0.1, .number = 1});
        kernels::adamw(b).step({}, {}, u.view(), w.view(), g.view(), m.view(), v.view(),
                               working.view());
        EXPECT_EQ(floats(working), floats(cast(w, type))) << shape << type << b;
        EXPECT_TRUE(tail_is_zero(working)) << shape << type << b;
      }
}

TEST(AdamW, AgreesWithTheReferenceOnEveryCase) {
  for (const auto& c : kernels::adamw_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (const AdamWOptions& o : rules)
      for (int64_t t : {1, 2, 1000000}) {
        const Arrays a(c.w), b(c.w);
        for (const Tensor& x : {b.w, b.m, b.v})
          if (x.layout.tail && x.size()) data<float>(x)[c.w[-1]] = std::nanf("");
        const Update u{.rate = 0.1, .factor = 0.7, .number = double(t)};
        step(both[0], o, u, a.w, a.g, a.m, a.v);
        step(both[1], o, u, b.w, b.g, b.m, b.v);
        EXPECT_LE(error(b.w, a.w), bound) << c.w << " step " << t;
        EXPECT_LE(error(b.m, a.m), bound) << c.w;
        EXPECT_LE(error(b.v, a.v), bound) << c.w;
        EXPECT_TRUE(tail_is_zero(b.w) && tail_is_zero(b.m) && tail_is_zero(b.v));
      }
  }
}

TEST(AdamW, FollowsPyTorch) {
  // torch.optim.AdamW, three steps in f64 from w = (1, -2).
  const std::vector<std::vector<float>> gradients = {{1, 0.5}, {-2, 1}, {0.5, 0.25}};
  struct Sequence {
    double rate;
    AdamWOptions options;
    std::vector<float> want;
  };
  const std::vector<Sequence> sequences = {
      {0.5,
       {.beta1 = 0.5, .beta2 = 0.75, .eps = 0.25, .weight_decay = 0},
       {0.6f, -2.33333333f, 0.863503370f, -2.72137984f, 0.910067062f, -3.00164934f}},
      {0.5,
       {.beta1 = 0.5, .beta2 = 0.75, .eps = 0.25, .weight_decay = 0.25},
       {0.475f, -2.08333333f, 0.67912837f, -2.21096317f, 0.640801016f, -2.21486228f}},
      {1e-3,
       {},
       {0.99899f, -2.00097999998f, 0.9993461136f, -2.00192517219f, 0.999472810836f,
        -2.0027727202f}},
      {0.25,
       {.beta1 = 0, .beta2 = 0, .weight_decay = 0.5},
       {0.6250000025f, -1.999999995f, 0.7968750009f, -1.999999993f, 0.4472656308f, -1.999999984f}}};
  for (Backend b : both)
    for (const auto& [rate, options, want] : sequences) {
      const Tensor w = from_vector<float>({2}, {1, -2}), m = full({2}, 0), v = full({2}, 0);
      std::vector<float> got;
      for (size_t i = 0; i < gradients.size(); ++i) {
        // The gradients come four times as large, as under a loss scale.
        const Tensor g = from_vector<float>({2}, {4 * gradients[i][0], 4 * gradients[i][1]});
        step(b, options, {.rate = rate, .factor = 0.25, .number = double(i + 1)}, w, g, m, v);
        for (float x : to_vector<float>(w)) got.push_back(x);
      }
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_NEAR(got[i], want[i], 3 * bound) << b << " " << i;
    }
}

TEST(AdamW, AnUpdateThatDoesNotApplyChangesNothing) {
  for (Backend b : both)
    for (const AdamWOptions& o : rules) {
      const Arrays a({3, 5});
      const std::vector<float> w = floats(a.w), m = floats(a.m), v = floats(a.v);
      step(b, o, {.rate = NAN, .factor = NAN, .apply = 0}, a.w, full({3, 5}, std::nan("")), a.m,
           a.v);
      EXPECT_EQ(floats(a.w), w) << b;
      EXPECT_EQ(floats(a.m), m) << b;
      EXPECT_EQ(floats(a.v), v) << b;
    }
}

TEST(AdamW, WritesSlicesAndLeavesNeighboursAlone) {
  const Update third{.rate = 0.1, .number = 3};
  for (Backend b : both)
    for (const AdamWOptions& o : rules) {
      const Arrays dense({3, 5});
      const Slice w(dense.w, 1, 2), g(dense.g, 3, 0), m(dense.m, 2, 2), v(dense.v, 1, 3);
      step(b, o, third, w.part, g.part, m.part, v.part);
      step(b, o, third, dense.w, dense.g, dense.m, dense.v);
      EXPECT_EQ(to_vector<float>(w.part), to_vector<float>(dense.w)) << b;
      EXPECT_EQ(to_vector<float>(m.part), to_vector<float>(dense.m)) << b;
      EXPECT_EQ(to_vector<float>(v.part), to_vector<float>(dense.v)) << b;
      EXPECT_TRUE(w.neighbours_untouched() && m.neighbours_untouched()) << b;
      EXPECT_TRUE(v.neighbours_untouched()) << b;
    }
}

TEST(AdamW, RefusesWhatHasNoMeaning) {
  const Arrays a({3});
  for (Backend b : both) {
    auto says = [&](const AdamWOptions& o) {
      return refusal([&] { step(b, o, {.number = 1}, a.w, a.g, a.m, a.v); });
    };
    EXPECT_EQ(says({.beta1 = 1}), "adamw: beta1 must lie in [0, 1), got 1");
    EXPECT_EQ(says({.beta2 = -0.5}), "adamw: beta2 must lie in [0, 1), got -0.5");
    EXPECT_EQ(says({.eps = -1}), "adamw: eps must not be negative, got -1");
    EXPECT_EQ(says({.weight_decay = -1}), "adamw: weight_decay must not be negative, got -1");
    EXPECT_EQ(refusal([&] { step(b, {}, {.number = 1}, a.w, a.g, random({4}), a.v); }),
              "adamw: m must be f32 [3], got f32 [4]");
  }
}

struct Net : nn::Module {
  nn::Linear first{this, "first", {.in = 5, .out = 3}};
  nn::BatchNorm norm{this, "norm", 3};
  nn::Linear last{this, "last", {.in = 3, .out = 2}};
  Net() { initialise(1); }
};

/// A step whose gradients are all 0: what moves then has decayed.
template <class Optimiser>
std::vector<bool> decayed(Net& net, Optimiser&& make) {
  optim::ParameterArena arena(net);
  for (const auto& p : net.parameters()) fill(*p.tensor, 1);
  auto optimiser = make(arena);
  arena.zero_grad();
  optimiser.step(0.5);
  std::vector<bool> moved;
  for (const auto& p : net.parameters()) {
    const float w = to_vector<float>(*p.tensor)[0];
    EXPECT_TRUE(w == 1 || w == 0.75f) << p.name << " " << w;
    moved.push_back(w != 1);
  }
  return moved;
}

TEST(Optimiser, BiasesAndNormsDecayOnlyWhenAsked) {
  Net net;
  const std::vector<bool> all(6, true), matrices = {true, false, false, false, true, false};
  for (bool vectors : {true, false}) {
    EXPECT_EQ(
        decayed(net,
                [&](auto& arena) { return optim::AdamW(arena, {.weight_decay = 0.5}, vectors); }),
        vectors ? all : matrices);
    EXPECT_EQ(decayed(net,
                      [&](auto& arena) {
                        return optim::Sgd(arena, {.momentum = 0.9, .weight_decay = 0.5}, vectors);
                      }),
              vectors ? all : matrices);
  }
}

void train_step(Net& net, optim::ParameterArena& arena, optim::AdamW& adamw, uint64_t seed) {
  arena.zero_grad();
  const Tensor y = net.last.forward(net.norm.forward(net.first.forward(random({4, 5}, seed))));
  backward(multiply(y, y), full(y.shape(), 1));
  adamw.step(0.1);
}

TEST(Optimiser, AdamWTakesARunUpAgain) {
  Net whole, resumed;
  optim::ParameterArena a(whole), b(resumed);
  optim::AdamW first(a, {}, false);
  for (uint64_t i = 0; i < 3; ++i) train_step(whole, a, first, i);
  optim::AdamW second(b, {}, false);
  copy(a.values(), b.values());
  std::map<std::string, Tensor> saved;
  for (const auto& [name, tensor] : first.state()) saved[name] = tensor;
  EXPECT_EQ(saved.size(), 13u);
  EXPECT_EQ(item(saved.at("steps")), 3);
  EXPECT_EQ(saved.at("second_moment.first.weight").shape(), (Shape{3, 5}));
  for (const auto& [name, tensor] : second.state()) copy(saved.at(name), tensor);
  train_step(whole, a, first, 3);
  train_step(resumed, b, second, 3);
  EXPECT_EQ(to_vector<float>(a.values()), to_vector<float>(b.values()));
}

}  // namespace
}  // namespace kinema::test
