#include "kernels/sgd/sgd.h"
#include <map>
#include "engine/nn/linear.h"
#include "engine/ops/pointwise.h"
#include "engine/optim/sgd.h"
#include "kernels/sgd/sgd_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

// Each number is rounded at most six times on its way from w, g and v.
const double bound = 6 * epsilon(Dtype::f32);

const std::vector<SgdOptions> rules = {{},
                                       {.weight_decay = 0.1},
                                       {.momentum = 0.9},
                                       {.momentum = 0.9, .dampening = 0.5, .weight_decay = 0.1},
                                       {.momentum = 0.9, .nesterov = true, .weight_decay = 0.1}};

Tensor update(const Update& u) {
  return from_vector<double>({4}, {u.rate, u.factor, u.apply, u.number});
}

struct Arrays {
  Tensor w, g, v;
  explicit Arrays(const Shape& shape)
      : w(random(shape, 1)), g(random(shape, 2)), v(random(shape, 3)) {}
};

TEST(Sgd, AgreesWithTheReferenceOnEveryCase) {
  for (const auto& c : kernels::sgd_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (const SgdOptions& o : rules)
      for (bool first : {false, true}) {
        Arrays a(c.w), b(c.w);
        // The first step reads no velocity; and whoever writes a row writes its tail.
        if (first && o.momentum > 0) a.v = poisoned(c.w), b.v = poisoned(c.w);
        if (b.w.layout.tail) data<float>(b.w)[c.w[-1]] = std::nanf("");
        const Tensor u = update({.rate = 0.3, .factor = 0.7, .number = first ? 1.0 : 2.0});
        kernels::sgd(both[0]).step({}, o, u.view(), a.w.view(), a.g.view(), a.v.view(), {});
        kernels::sgd(both[1]).step({}, o, u.view(), b.w.view(), b.g.view(), b.v.view(), {});
        EXPECT_LE(error(b.w, a.w), bound) << c.w;
        EXPECT_LE(error(b.v, a.v), bound) << c.w;
        EXPECT_TRUE(tail_is_zero(b.w) && tail_is_zero(b.v));
      }
  }
}

TEST(Sgd, WritesTheWorkingCopyInTheSamePass) {
  for (const Shape& shape : {Shape{50003}, Shape{3, 5}, Shape{2, 0}})
    for (Dtype type : {Dtype::bf16, Dtype::f16})
      for (Backend b : both)
        for (const SgdOptions& o : rules) {
          const Arrays a(shape);
          const Tensor working = poisoned(shape, type);
          const Tensor u = update({.rate = 0.3, .number = 2});
          kernels::sgd(b).step({}, o, u.view(), a.w.view(), a.g.view(), a.v.view(), working.view());
          EXPECT_EQ(floats(working), floats(cast(a.w, type))) << shape << type << b;
          EXPECT_TRUE(tail_is_zero(working)) << shape << type << b;
        }
}

TEST(Sgd, FollowsPyTorchExactly) {
  // torch.optim.SGD, three steps in f64 from w = (1, -2); every number is exact in f32 too.
  const std::vector<std::vector<float>> gradients = {{1, 0.5}, {-2, 1}, {0.5, 0.25}};
  const std::vector<std::pair<SgdOptions, std::vector<float>>> sequences = {
      {{}, {0.5, -2.25, 1.5, -2.75, 1.25, -2.875}},
      {{.weight_decay = 0.25}, {0.375, -2, 1.328125, -2.25, 0.912109375, -2.09375}},
      {{.momentum = 0.5}, {0.5, -2.25, 1.25, -2.875, 1.375, -3.3125}},
      {{.momentum = 0.5, .dampening = 0.25}, {0.5, -2.25, 1, -2.75, 1.0625, -3.09375}},
      {{.momentum = 0.5, .nesterov = true, .weight_decay = 0.25},
       {0.0625, -2, 1.39453125, -2.375, 0.927978515625, -2.1796875}}};
  for (Backend b : both)
    for (const auto& [options, want] : sequences) {
      const Tensor w = from_vector<float>({2}, {1, -2}), v = poisoned({2});
      std::vector<float> got;
      for (size_t i = 0; i < gradients.size(); ++i) {
        const Tensor g = from_vector<float>({2}, {4 * gradients[i][0], 4 * gradients[i][1]});
        // The gradients come four times as large, as under a loss scale.
        const Tensor u = update({.rate = 0.5, .factor = 0.25, .number = double(i + 1)});
        kernels::sgd(b).step({}, options, u.view(), w.view(), g.view(), v.view(), {});
        for (float x : to_vector<float>(w)) got.push_back(x);
      }
      EXPECT_EQ(got, want) << b << " " << options.momentum << options.weight_decay;
    }
}

TEST(Sgd, AnUpdateThatDoesNotApplyChangesNothing) {
  for (Backend b : both)
    for (const SgdOptions& o : rules) {
      const Arrays a({3, 5});
      const Tensor g = full({3, 5}, std::nan("")), working = full({3, 5}, 7, Dtype::bf16);
      const std::vector<float> w = floats(a.w), v = floats(a.v), narrow = floats(working);
      const Tensor u = update({.rate = NAN, .factor = NAN, .apply = 0, .number = 1});
      kernels::sgd(b).step({}, o, u.view(), a.w.view(), g.view(), a.v.view(), working.view());
      EXPECT_EQ(floats(a.w), w) << b;
      EXPECT_EQ(floats(a.v), v) << b;
      EXPECT_EQ(floats(working), narrow) << b;
    }
}

TEST(Sgd, WritesSlicesAndLeavesNeighboursAlone) {
  const Tensor second = update({.rate = 0.3, .number = 2});
  for (Backend b : both)
    for (const SgdOptions& o : rules) {
      const Arrays dense({3, 5});
      const Slice w(dense.w, 1, 2), g(dense.g, 3, 0), v(dense.v, 2, 2);
      const View u = second.view();
      kernels::sgd(b).step({}, o, u, w.part.view(), g.part.view(), v.part.view(), {});
      kernels::sgd(b).step({}, o, u, dense.w.view(), dense.g.view(), dense.v.view(), {});
      EXPECT_EQ(to_vector<float>(w.part), to_vector<float>(dense.w)) << b;
      EXPECT_EQ(to_vector<float>(v.part), to_vector<float>(dense.v)) << b;
      EXPECT_TRUE(w.neighbours_untouched() && v.neighbours_untouched()) << b;
    }
}

TEST(Sgd, RefusesWhatHasNoMeaning) {
  const Arrays a({3});
  Tensor u = update({.number = 1});
  for (Backend b : both) {
    auto says = [&](const SgdOptions& o, const Tensor& g, const Tensor& v) {
      return refusal(
          [&] { kernels::sgd(b).step({}, o, u.view(), a.w.view(), g.view(), v.view(), {}); });
    };
    EXPECT_EQ(says({.momentum = 0.9}, a.g, {}), "sgd: momentum needs a velocity, got none");
    EXPECT_EQ(says({}, random({4}), {}), "sgd: g must be f32 [3], got f32 [4]");
    EXPECT_EQ(says({}, a.g, random({4})), "sgd: v must be f32 [3], got f32 [4]");
    EXPECT_EQ(says({.momentum = -1}, a.g, a.v), "sgd: momentum must not be negative, got -1");
    EXPECT_EQ(says({.weight_decay = -1}, a.g, {}),
              "sgd: weight_decay must not be negative, got -1");
    EXPECT_EQ(says({.momentum = 0.5, .dampening = 0.5, .nesterov = true}, a.g, a.v),
              "sgd: nesterov needs momentum and no dampening, got momentum 0.5 and dampening 0.5");
    u = a.w;
    EXPECT_EQ(says({}, a.g, a.v), "sgd: the update must be f64 [4], got f32 [3]");
    u = update({.number = 1});
  }
}

struct Net : nn::Module {
  nn::Linear used{this, "used", 5, 3}, idle{this, "idle", 3, 2};
  Net() { initialise(1); }
};

/// A step of training that leaves `idle` without a gradient.
void step(Net& net, optim::ParameterArena& arena, optim::Sgd& sgd, uint64_t seed) {
  arena.zero_grad();
  const Tensor y = net.used.forward(random({4, 5}, seed));
  backward(multiply(y, y), full(y.shape(), 1));
  sgd.step(0.1);
}

TEST(Optimiser, AParameterWithoutGradientCountsAsGradientZero) {
  Net net;
  optim::ParameterArena arena(net);
  optim::Sgd sgd(arena, {.momentum = 0.5, .weight_decay = 1});
  std::vector<float> w = to_vector<float>(net.idle.weight), v(w.size(), 0);
  const std::vector<float> before = to_vector<float>(net.used.weight);
  for (uint64_t i = 0; i < 3; ++i) {
    // Rubbish in its place, as an earlier step would leave, must not be seen.
    fill(arena.part(arena.gradients(), 2), 1e9);
    step(net, arena, sgd, i);
    for (size_t k = 0; k < w.size(); ++k) v[k] = 0.5f * v[k] + w[k], w[k] -= 0.1f * v[k];
  }
  for (size_t k = 0; k < w.size(); ++k)
    EXPECT_NEAR(to_vector<float>(net.idle.weight)[k], w[k], 1e-6);
  EXPECT_NE(to_vector<float>(net.used.weight), before);
}

TEST(Optimiser, ItsStateTakesARunUpAgain) {
  Net whole, resumed;
  optim::ParameterArena a(whole), b(resumed);
  optim::Sgd first(a, {.momentum = 0.9, .dampening = 0.5});
  for (uint64_t i = 0; i < 2; ++i) step(whole, a, first, i);
  optim::Sgd second(b, {.momentum = 0.9, .dampening = 0.5});
  copy(a.values(), b.values());
  std::map<std::string, Tensor> saved;
  for (const auto& [name, tensor] : first.state()) saved[name] = tensor;
  EXPECT_EQ(saved.size(), 5u);
  EXPECT_EQ(item(saved.at("steps")), 2);
  EXPECT_EQ(saved.at("momentum.used.weight").shape(), (Shape{3, 5}));
  for (const auto& [name, tensor] : second.state()) copy(saved.at(name), tensor);
  step(whole, a, first, 2);
  step(resumed, b, second, 2);
  EXPECT_EQ(to_vector<float>(a.values()), to_vector<float>(b.values()));
  EXPECT_EQ(optim::Sgd(a).state().size(), 1u);
}

TEST(Optimiser, RefusesOptionsAtOnce) {
  Net net;
  optim::ParameterArena arena(net);
  EXPECT_EQ(refusal([&] { optim::Sgd(arena, {.nesterov = true}); }),
            "sgd: nesterov needs momentum and no dampening, got momentum 0 and dampening 0");
}

}  // namespace
}  // namespace kinema::test
