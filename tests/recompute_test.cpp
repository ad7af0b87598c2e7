#include "engine/recompute.h"
#include <memory>
#include "engine/nn/batch_norm.h"
#include "engine/nn/conv3d.h"
#include "engine/nn/dropout.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/views.h"
#include "engine/random.h"
#include "models/base/model.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using Segment = std::function<Tensor(const Tensor&)>;
/// Runs a segment: as it is, or by recomputed().
using Runner = std::function<Tensor(const Segment&, const Tensor&)>;

const Runner plainly = [](const Segment& f, const Tensor& x) { return f(x); };
const Runner again = [](const Segment& f, const Tensor& x) { return recomputed(f, x); };

struct Block : nn::Module {
  nn::Conv3d conv;
  nn::BatchNorm norm;
  nn::Dropout dropout;
  Block(Module* parent, const std::string& name)
      : Module(parent, name),
        conv(this, "conv", {.in = 6, .out = 6, .kernel = {1, 3, 3}, .padding = {0, 1, 1}}),
        norm(this, "norm", 6),
        dropout(this, "dropout", 0.4) {}
  Tensor forward(const Tensor& x) const {
    return dropout.forward(norm.forward(conv.forward(x), {.residual = x, .relu = true}));
  }
};

struct Net : nn::Module {
  Block first{this, "first"}, second{this, "second"}, third{this, "third"};
  Net() { initialise(1); }
};

using Forward = std::function<Tensor(Net&, const Tensor& x)>;

/// Everything that one step computes, as bits: result, statistics, gradients, the next draw.
std::vector<std::vector<float>> step(const Forward& forward, bool input_wants_gradient = true) {
  Net net;
  const Tensor values = random({2, 2, 6, 5, 6}, 7);
  const Tensor x = input_wants_gradient ? parameter(values) : values;
  RandomScope draws(3, 4);
  const Tensor y = forward(net, x);
  std::vector<std::vector<float>> all{to_vector<float>(y)};
  backward(y, random(y.shape(), 8));
  for (const auto& b : net.buffers()) all.push_back(to_vector<float>(*b.tensor));
  for (const auto& p : net.parameters())
    if (const Tensor g = gradient(*p.tensor)) all.push_back(to_vector<float>(g));
  if (x.node) all.push_back(to_vector<float>(gradient(x)));
  all.push_back({float(next_key("probe").key)});
  return all;
}

Forward chain(const Runner& run) {
  return [run](Net& net, const Tensor& x) {
    Tensor y = x;
    for (const Block* b : {&net.first, &net.second, &net.third})
      y = run([b](const Tensor& in) { return b->forward(in); }, y);
    return y;
  };
}

TEST(Recompute, GradientsAreTheSameBits) {
  EXPECT_EQ(step(chain(again)), step(chain(plainly)));
  EXPECT_EQ(step(chain(again), false), step(chain(plainly), false));
}

TEST(Recompute, SegmentsNest) {
  auto nested = [](const Runner& run) {
    return [run](Net& net, const Tensor& x) {
      return run([&, run](const Tensor& in) { return chain(run)(net, in); }, x);
    };
  };
  EXPECT_EQ(step(nested(again)), step(nested(plainly)));
}

TEST(Recompute, BranchesAndTwoUsesOfOneModuleAddUp) {
  auto forked = [](const Runner& run) {
    return [run](Net& net, const Tensor& x) {
      auto f = [&net](const Tensor& in) { return net.first.forward(in); };
      const Tensor h = multiply(x, x);
      return add(add(run(f, h), run(f, h)), multiply(h, run(f, slice(h, 1, 0, 2))));
    };
  };
  EXPECT_EQ(step(forked(again)), step(forked(plainly)));
}

TEST(Recompute, RunsOnTheBackendOfItsForward) {
  const Tensor x = parameter(random({2, 3}, 1, Dtype::f64));
  Tensor y;
  {
    BackendScope scope(Backend::reference);  // the only one that takes f64
    y = recomputed([](const Tensor& in) { return multiply(in, in); }, x);
  }
  backward(y, full({2, 3}, 1, Dtype::f64));
  EXPECT_EQ(to_vector<double>(gradient(x))[0], 2 * to_vector<double>(x)[0]);
}

TEST(Recompute, DrawsUnderThePathOfItsForward) {
  auto run = [](const Runner& how) {
    const Tensor x = parameter(full({1000}, 1));
    RandomScope draws(1, 1);
    Tensor y;
    {
      const PathScope path("net.block");
      y = how([](const Tensor& in) { return dropout(in, 0.5); }, x);
    }
    backward(y, full({1000}, 1));
    return to_vector<float>(gradient(x));
  };
  EXPECT_EQ(run(again), run(plainly));
}

TEST(Recompute, OddSegments) {
  const Tensor x = parameter(random({3})), w = parameter(random({3}, 2));
  backward(recomputed([](const Tensor& in) { return in; }, x), full({3}, 2));
  EXPECT_EQ(to_vector<float>(gradient(x)), std::vector<float>(3, 2));
  clear_gradient(x);
  // A segment that looks at no x, and one that wants no gradient at all.
  const Tensor h = multiply(x, x);
  backward(recomputed([&](const Tensor&) { return multiply(w, w); }, h), full({3}, 1));
  EXPECT_EQ(to_vector<float>(gradient(x)), std::vector<float>(3, 0));
  EXPECT_EQ(to_vector<float>(gradient(w))[1], 2 * to_vector<float>(w)[1]);
  const Tensor free = recomputed([](const Tensor& in) { return relu(in); }, random({3}));
  backward(free, full({3}, 1));
}

TEST(Recompute, OffTheTapeItIsTheFunction) {
  const Tensor x = parameter(random({3}));
  int runs = 0;
  NoGrad off;
  const Tensor y = recomputed(
      [&](const Tensor& in) {
        ++runs;
        EXPECT_FALSE(recomputing());
        return relu(in);
      },
      x);
  EXPECT_FALSE(wants_grad(y));
  EXPECT_EQ(runs, 1);
}

/// Bytes that a step holds at most beyond what it began with, for a chain of 12 convolutions.
int64_t peak(const Runner& run) {
  struct Deep : nn::Module {
    std::vector<std::unique_ptr<Block>> blocks;
    Deep() {
      for (int i = 0; i < 12; ++i)
        blocks.push_back(std::make_unique<Block>(this, "b" + std::to_string(i)));
      initialise(1);
    }
  } net;
  const Tensor x = random({2, 4, 32, 32, 6});
  const auto pass = [&] {
    RandomScope draws(1, 1);
    Tensor y = x;
    for (const auto& b : net.blocks) y = run([&b](const Tensor& in) { return b->forward(in); }, y);
    backward(y, x);
  };
  // The peak never falls: a tensor that large is held first, then its room is what the pass has.
  const int64_t before = memory_use().live, room = memory_use().peak - before;
  const Tensor ballast = empty({room / 4 + 1});
  const int64_t base = memory_use().live;
  pass();
  return memory_use().peak - base;
}

TEST(Recompute, HoldsInputsOfSegmentsAlone) {
  const int64_t activation = empty({2, 4, 32, 32, 6}).storage->bytes();
  const int64_t plain = peak(plainly), recomputing_peak = peak(again);
  // Of each block the tape keeps the inputs of convolution, norm and dropout's successor: 3; with
  // segments 1, and what one block needs at a time: 3, with its gradients and spare: 6.
  EXPECT_GE(plain, 12 * 2 * activation);
  EXPECT_LE(recomputing_peak, (12 + 7) * activation);
}

/// How many convolutions run while it lives.
struct Convolutions : Observer {
  int64_t count = 0;
  void saw(const char* op, const Tensor&, const std::vector<Tensor>&, const Work&) override {
    count += std::string_view(op) == "conv3d";
  }
};

/// Scores, gradients and buffers of a training pass; `convolutions` counts those of the backward
/// pass.
std::vector<std::vector<float>> trained(const models::Model& model, bool checkpoints,
                                        int64_t& convolutions) {
  models::ModelOptions o = model.defaults;
  o.classes = 3;
  o.dropout = 0.3;
  const bool fixed = o.widths.size() == 5;  // Karpathy's: ten frames, large strides
  if (!fixed) o.frames = 4;
  o.height = o.width = fixed ? 48 : 24;
  o.widths = fixed ? std::vector<int64_t>{4, 5, 6, 5, 4} : std::vector<int64_t>{4, 5, 6};
  o.hidden = 8;
  const auto net = model.create(o);
  net->initialise(1);
  net->checkpoint_activations(checkpoints);
  RandomScope draws(1, 2);
  const Tensor y = net->forward(random({2, o.frames, o.height, o.width, 3}));
  Convolutions seen;
  backward(y, random(y.shape(), 3));
  convolutions = seen.count;
  std::vector<std::vector<float>> all{to_vector<float>(y)};
  for (const auto& p : net->parameters()) all.push_back(to_vector<float>(gradient(*p.tensor)));
  for (const auto& b : net->buffers()) all.push_back(to_vector<float>(*b.tensor));
  return all;
}

TEST(Recompute, EveryNetworkRecomputesAndGivesTheSameBits) {
  for (const models::Model* model : models::models()) {
    int64_t plain = 0, again = 0;
    EXPECT_EQ(trained(*model, true, again), trained(*model, false, plain)) << model->name;
    EXPECT_EQ(plain, 0) << model->name;
    EXPECT_GE(again, model->defaults.widths.size() == 5 ? 5 : 3) << model->name;
  }
}

}  // namespace
}  // namespace kinema::test
