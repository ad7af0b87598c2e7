#include "engine/optim/arena.h"
#include "engine/nn/linear.h"
#include "engine/ops/pointwise.h"
#include "engine/optim/adamw.h"
#include "engine/optim/sgd.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

struct Net : nn::Module {
  Tensor stem = random({4, 1, 2, 3, 3}, 1), weight = random({3, 5}, 2), bias = random({7}, 3);
  Net() {
    add_parameter("stem", stem);
    add_parameter("weight", weight);
    add_parameter("bias", bias);
  }
};

/// Gradients of sum(p * p) for the parameters given.
void backward_of(const std::vector<Tensor>& parameters) {
  for (const Tensor& p : parameters) backward(multiply(p, p), full(p.shape(), 0.5));
}

TEST(Arena, ParametersKeepValuesLayoutAndPlaceOnTheTape) {
  Net net;
  const Tensor old[] = {net.stem, net.weight, net.bias};
  const optim::ParameterArena arena(net);
  const Tensor* moved[] = {&net.stem, &net.weight, &net.bias};
  ASSERT_EQ(arena.count(), 3u);
  EXPECT_EQ(arena.name(1), "weight");
  for (size_t i = 0; i < 3; ++i) {
    const Tensor& p = *moved[i];
    EXPECT_EQ(p.storage, arena.values().storage);
    EXPECT_EQ(p.node, old[i].node);
    EXPECT_EQ(to_vector<float>(p), to_vector<float>(old[i]));
    EXPECT_EQ(p.layout.strides, old[i].layout.strides);
    EXPECT_EQ(p.layout.tail, old[i].layout.tail);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p.layout.data) % 64, 0u);
    EXPECT_EQ(arena.part(arena.values(), i).layout.data, p.layout.data);
  }
}

TEST(Arena, GradientsLieTogetherAndPaddingStaysZero) {
  Net net;
  optim::ParameterArena arena(net);
  // The flat sum of squares is that of the elements only if all padding is zero.
  double want = 0;
  for (const Tensor& p : {net.stem, net.weight, net.bias})
    for (float v : to_vector<float>(p)) want += double(v) * double(v);
  auto total = [](const Tensor& flat) {
    double sum = 0;
    for (float v : to_vector<float>(flat)) sum += double(v) * double(v);
    return sum;
  };
  EXPECT_NEAR(total(arena.values()), want, 1e-9);
  backward_of({net.stem, net.weight, net.bias});
  EXPECT_EQ(gradient(net.weight).storage, arena.gradients().storage);
  EXPECT_EQ(to_vector<float>(gradient(net.weight)), to_vector<float>(net.weight));
  EXPECT_NEAR(total(arena.gradients()), want, 1e-9);
  backward_of({net.weight});
  EXPECT_EQ(to_vector<float>(gradient(net.weight))[3], 2 * to_vector<float>(net.weight)[3]);
}

TEST(Arena, AGradientThatWasNotSetIsZero) {
  Net net;
  optim::ParameterArena arena(net);
  backward_of({net.stem, net.weight, net.bias});
  arena.zero_grad();
  EXPECT_FALSE(gradient(net.bias));
  backward_of({net.bias});
  const Tensor& g = arena.gradients();
  EXPECT_EQ(to_vector<float>(arena.part(g, 0)), std::vector<float>(4 * 18, 0));
  EXPECT_EQ(to_vector<float>(arena.part(g, 1)), std::vector<float>(15, 0));
  EXPECT_EQ(to_vector<float>(arena.part(g, 2)), to_vector<float>(net.bias));
  backward_of({net.weight});  // takes the place of the zeros
  EXPECT_EQ(to_vector<float>(arena.part(arena.gradients(), 1)), to_vector<float>(net.weight));
}

TEST(Arena, KeepsAWorkingCopyInItsPrecision) {
  for (Dtype type : {Dtype::bf16, Dtype::f16}) {
    nn::Linear net(nullptr, "", 5, 3);
    net.initialise(1);
    optim::ParameterArena arena(net, type);
    EXPECT_EQ(arena.working().dtype(), type);
    EXPECT_EQ(net.working_weight.storage, arena.working().storage);
    EXPECT_EQ(net.weight.dtype(), Dtype::f32);
    auto follows = [&] {
      return floats(net.working_weight) == floats(cast(net.weight.detach(), type)) &&
             tail_is_zero(net.working_weight);
    };
    EXPECT_TRUE(follows());
    // Rows begin where 16 bytes do, in the narrow copy too.
    EXPECT_EQ(net.working_weight.layout.stride(0), 8);
    EXPECT_EQ(net.weight.layout.strides, net.working_weight.layout.strides);

    const Tensor x = random({4, 5}, 1, type);
    const Tensor y = net.forward(x);
    EXPECT_EQ(y.dtype(), type);
    backward(y, random(y.shape(), 2, type));
    EXPECT_EQ(gradient(net.weight).dtype(), Dtype::f32);
    EXPECT_EQ(gradient(net.weight).storage, arena.gradients().storage);
    optim::Sgd sgd(arena, {.momentum = 0.9});
    optim::AdamW adam(arena);
    const std::vector<float> before = floats(net.weight);
    for (optim::Optimiser* o : std::initializer_list<optim::Optimiser*>{&sgd, &adam}) {
      o->step(0.1);
      EXPECT_TRUE(follows());
    }
    EXPECT_NE(floats(net.weight), before);
    fill(net.weight, 0.1);
    EXPECT_FALSE(follows());
    arena.update_working();
    EXPECT_TRUE(follows());
  }
}

TEST(Arena, PrecisionOfANetworkWithoutOne) {
  nn::Linear net(nullptr, "", 5, 3);
  net.initialise(1);
  const Tensor x = random({4, 5}, 1), want = net.forward(x);
  net.set_precision(Dtype::bf16);
  EXPECT_EQ(refusal([&] { net.forward(x); }),
            "linear: x, w and y must have one type, got f32, bf16 and f32");
  const Tensor y = net.forward(cast(x, Dtype::bf16));
  // Weights, inputs and the result are rounded, by half a unit each; 5 products of at most 1.
  EXPECT_LE(error(y, want), 5 * epsilon(Dtype::bf16));
  net.set_precision(Dtype::f32);
  EXPECT_EQ(floats(net.forward(x)), floats(want));
  EXPECT_EQ(refusal([&] { net.set_precision(Dtype::f64); }),
            "precision: expected f32, bf16 or f16, got f64");
  EXPECT_EQ(refusal([&] { optim::ParameterArena(net, Dtype::u8); }),
            "precision: expected f32, bf16 or f16, got u8");
}

TEST(Arena, ASharedParameterIsHeldOnce) {
  struct Tied : Net {
    Tensor again;
    Tied() {
      add_parameter("again", again = weight);
      again = weight;
    }
  } net;
  const optim::ParameterArena arena(net);
  EXPECT_EQ(arena.count(), 3u);
  EXPECT_EQ(net.again.layout.data, net.weight.layout.data);
  EXPECT_EQ(net.again.node, net.weight.node);
}

TEST(Arena, RefusesWhatDoesNotFit) {
  struct Wide : nn::Module {
    Tensor w = random({2}, 1, Dtype::f64);
    Wide() { add_parameter("w", w); }
  } wide;
  EXPECT_EQ(refusal([&] { optim::ParameterArena a(wide); }),
            "arena: parameters must be f32, but w is f64");
  Net net;
  const optim::ParameterArena arena(net);
  EXPECT_EQ(refusal([&] { arena.part(random({3}), 0); }),
            "arena: expected memory of shape [144], got [3]");
  const optim::ParameterArena later(net);
  backward_of({net.bias});
  EXPECT_EQ(refusal([&] { arena.gradients(); }),
            "arena: the gradient of bias lies elsewhere; was another arena made of the module?");
}

TEST(Arena, AnEmptyModuleHasAnEmptyArena) {
  nn::Module none;
  const optim::ParameterArena arena(none);
  EXPECT_EQ(arena.values().shape(), (Shape{0}));
}

}  // namespace
}  // namespace kinema::test
