#include <cmath>
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/layer_norm/layer_norm_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::LayerNorm, kernels::LayerNormOptions, kernels::size_of;

constexpr Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};
const double f32 = epsilon_of(Dtype::f32);

/// What a layer takes and leaves. Values lie in [0, 2), so that means are of size 1.
struct Layer {
  Layer(const Shape& shape, Dtype type, Layout layout = Layout::fresh)
      : x(random_array(shape, type, 1, 0, 2, layout)),
        dy(random_array(shape, type, 2, -1, 1, layout)),
        gamma(random_array({shape[-1]}, Dtype::f32, 3, 0.5, 2)),
        beta(random_array({shape[-1]}, Dtype::f32, 4)),
        y(shape, type, layout),
        mean({kernels::layer_norm_rows(x.view)}, Dtype::f32),
        rstd(mean.view.shape, Dtype::f32) {
    // Without a share of eps, rows of two or three leave a dx that is rounding alone.
    if (shape[-1] < 4) options.eps = 0.1;
  }
  Array x, dy, gamma, beta, y, mean, rstd;
  LayerNormOptions options;
};

/// Sums in f32 are trees, over a row, or over what each group adds up of its rows: they round as
/// often as these have levels, up and down, so by some 2 units. What follows, rstd and a handful of
/// products and differences, rounds as often again. Times 2; dx subtracts three such terms.
const double forward_bound = 8 * f32, grad_bound = 24 * f32;

/// What the program is linked with.
const LayerNorm& op_here() {
  return device_runs().front().backend == Backend::cuda ? kernels::layer_norm_cuda
                                                        : kernels::layer_norm_emulated;
}

void expect_forward(const Layer& l, bool with_parameters) {
  const auto pass = [&](const LayerNorm& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      const View none{};
      op.forward(s, l.options, v[0], {with_parameters ? v[1] : none, with_parameters ? v[2] : none},
                 v[3], {v[4], v[5]});
    };
  };
  expect_op_matches(kernels::layer_norm_reference, &kernels::layer_norm_cuda,
                    &kernels::layer_norm_emulated, {l.x, l.gamma, l.beta, l.y, l.mean, l.rstd},
                    pass, {input, input, input, forward_bound, forward_bound, forward_bound},
                    "layer_norm.forward");
}

/// Which gradients are wanted.
struct Wanted {
  bool dx, dgamma, dbeta, accumulate;
};

void expect_grad(Layer l, const Wanted& wanted) {
  kernels::layer_norm_reference.forward({}, l.options, l.x.view, {l.gamma.view, l.beta.view},
                                        l.y.view, {l.mean.view, l.rstd.view});
  const Shape shape = l.x.view.shape, channels{shape[-1]};
  Array dx = l.y.clone(), dgamma(channels, Dtype::f32), dbeta(channels, Dtype::f32);
  if (wanted.accumulate)
    dgamma = random_array(channels, Dtype::f32, 5), dbeta = random_array(channels, Dtype::f32, 6);
  const auto pass = [&](const LayerNorm& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) {
      const auto target = [&](bool on, size_t i) {
        return kernels::LayerNormTarget{on ? v[i] : View{}, wanted.accumulate};
      };
      op.grad(s, {v[0], v[1], v[2], v[3]}, v[4],
              {target(wanted.dx, 5), target(wanted.dgamma, 6), target(wanted.dbeta, 7)});
    };
  };
  const auto bound = [](bool on) { return on ? grad_bound : input; };
  expect_op_matches(kernels::layer_norm_reference, &kernels::layer_norm_cuda,
                    &kernels::layer_norm_emulated,
                    {l.x, l.gamma, l.mean, l.rstd, l.dy, dx, dgamma, dbeta}, pass,
                    {input, input, input, input, input, bound(wanted.dx), bound(wanted.dgamma),
                     bound(wanted.dbeta)},
                    "layer_norm.grad");
}

/// f(shape, type, layout) for the cases of the tests and for rows that no block holds in packs or
/// one by one; long ones in fewer layouts, or none under the race detector.
template <class F>
void each_case(const F& f) {
  std::vector<Shape> shapes{{300, 12}, {2, 4104}, {1, 8200}};
  for (const auto& c : kernels::layer_norm_cases)
    if (std::string(c.tag) == "ci") shapes.push_back(c.x);
  for (const Shape& shape : shapes)
    for (Dtype type : device_types)
      for (Layout layout : layouts) {
        const bool dense = layout == Layout::fresh, few = dense || layout == Layout::odd_slice;
        if (shape.size() < (dense && !small() ? 100000 : few ? 20000 : 4000))
          f(shape, type, layout);
      }
}

TEST(LayerNormDevice, ForwardAgreesWithTheReference) {
  each_case([](const Shape& shape, Dtype type, Layout layout) {
    expect_forward(Layer(shape, type, layout), true);
  });
  expect_forward(Layer({5, 45}, Dtype::bf16), false);
  expect_forward(Layer({2, 8200}, Dtype::f32), false);
}

TEST(LayerNormDevice, GradientsAgreeWithTheReference) {
  each_case([](const Shape& shape, Dtype type, Layout layout) {
    expect_grad(Layer(shape, type, layout), {true, true, true, layout == Layout::strided});
  });
  // Rows that no block holds, in several partial sums.
  expect_grad(Layer({70, 2056}, Dtype::bf16, Layout::odd_slice), {true, true, true, false});
}

TEST(LayerNormDevice, WritesOnlyTheGradientsThatAreWanted) {
  for (const Shape& shape : {Shape{40, 45}, Shape{1, 4104}})
    for (bool accumulate : {false, true}) {
      expect_grad(Layer(shape, Dtype::bf16), {true, false, false, accumulate});
      expect_grad(Layer(shape, Dtype::bf16), {false, true, false, accumulate});
      expect_grad(Layer(shape, Dtype::bf16), {false, false, true, accumulate});
    }
}

TEST(LayerNormDevice, MovesEachByteOnce) {
  const int64_t rows = 1500, channels = 96, parameters = channels * 4, statistics = rows * 8;
  for (Dtype type : {Dtype::f32, Dtype::bf16}) {
    const Layer l({rows, channels}, type);
    const int64_t bytes = l.x.view.size() * size_of(type);
    const LayerNorm& op = op_here();
    expect_traffic(
        {l.x, l.gamma, l.beta, l.y, l.mean, l.rstd},
        [&](Stream s, const std::vector<View>& v) {
          op.forward(s, {}, v[0], {v[1], v[2]}, v[3], {v[4], v[5]});
        },
        {.read = bytes + 2 * parameters, .written = bytes + statistics}, "layer_norm.forward");
    expect_traffic(
        {l.x, l.gamma, l.mean, l.rstd, l.dy, l.y, l.gamma, l.beta},
        [&](Stream s, const std::vector<View>& v) {
          op.grad(s, {v[0], v[1], v[2], v[3]}, v[4], {{v[5]}, {v[6]}, {v[7]}});
        },
        {.read = 2 * bytes + statistics + parameters, .written = bytes + 2 * parameters},
        "layer_norm.grad");
  }
}

/// Variance 1 beside a mean of 1e4: y is as right as beside none.
TEST(LayerNormDevice, SurvivesAMeanFarFromZero) {
  for (int64_t channels : {700, 8200}) {
    Layer l({3, channels}, Dtype::f32);
    l.x = random_array({3, channels}, Dtype::f32, 1, 1e4 - std::sqrt(3.), 1e4 + std::sqrt(3.));
    expect_forward(l, true);
  }
}

TEST(LayerNormDevice, NaNStaysInItsRow) {
  Layer l({3, 45}, Dtype::f32);
  static_cast<float*>(l.x.view.data)[50] = NAN;
  expect_forward(l, true);
}

TEST(LayerNormDevice, RefusesWhatDoesNotFit) {
  const Layer l({2, 3}, Dtype::f32);
  EXPECT_EQ(refusal_of([&] {
              op_here().forward({}, {}, l.x.view, {}, l.mean.view, {l.mean.view, l.rstd.view});
            }),
            "layer_norm: y must be f32 [2,3], got f32 [2]");
}

TEST(LayerNormDevice, ZeroesTailsThatElementsDoNotReach) {
  for (Dtype type : device_types) {
    Layer l({7, 45}, type, Layout::odd_slice);
    l.y = Array({7, 45}, type);
    expect_forward(l, true);
    expect_grad(l, {true, true, true, false});
  }
}

}  // namespace
}  // namespace kinema::test
