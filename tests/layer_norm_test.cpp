#include "kernels/layer_norm/layer_norm.h"
#include <omp.h>
#include "engine/nn/layer_norm.h"
#include "engine/ops/views.h"
#include "kernels/layer_norm/layer_norm_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

/// layer_norm of {x, gamma, beta}, or of {x} alone.
Tensor norm_of(const std::vector<Tensor>& in) {
  return in.size() == 1 ? layer_norm(in[0]) : layer_norm(in[0], in[1], in[2]);
}

std::vector<Tensor> inputs(const Shape& x, Dtype type = Dtype::f32) {
  const Shape channels{x[-1]};
  const Dtype wide = kernels::wide_of(type);
  return {random(x, 1, type), random(channels, 2, wide, 0.5, 2), random(channels, 3, wide)};
}

/// Everything a kernel pass takes, for a given x.
struct Layer {
  explicit Layer(const Tensor& x_) : x(x_) {
    gamma = random({x.shape(-1)}, 2, Dtype::f32, 0.5, 2);
    beta = random({x.shape(-1)}, 3);
    mean = poisoned({kernels::layer_norm_rows(x.view())});
    rstd = poisoned(mean.shape());
  }
  void forward(Backend b, const Tensor& y, const LayerNormOptions& o = {}) {
    kernels::layer_norm(b).forward({}, o, x.view(), {gamma.view(), beta.view()}, y.view(),
                                   {mean.view(), rstd.view()});
  }
  void grad(Backend b, const Tensor& dy, const kernels::LayerNormTargets& to) {
    kernels::layer_norm(b).grad({}, {x.view(), gamma.view(), mean.view(), rstd.view()}, dy.view(),
                                to);
  }
  Tensor x, gamma, beta, mean, rstd;
};

TEST(LayerNorm, CpuMatchesReference) {
  int64_t cases = 0;
  for (const auto& c : kernels::layer_norm_cases) {
    if (std::string(c.tag) != "ci") continue;
    ++cases;
    // Sums over a row are wide: what remains are the roundings of a handful of products, of which
    // dx subtracts three.
    const double bound = 8 * epsilon(Dtype::f32);
    for (Dtype type : activation_types) {
      std::vector<Tensor> in = inputs(c.x, type);
      EXPECT_TRUE(matches_reference(norm_of, in, bound)) << c.x << " in " << type;
      in.resize(1);
      EXPECT_TRUE(matches_reference(norm_of, in, bound)) << c.x << " alone in " << type;
    }
  }
  EXPECT_GE(cases, 10);
}

TEST(LayerNorm, GradientsAreRight) {
  for (const Shape& x : {Shape{4}, Shape{5, 3}, Shape{2, 2, 1, 3, 6}, Shape{0, 3}})
    // rstd is up to 5 here, and the third derivative goes with its cube.
    EXPECT_TRUE(gradient_is_right(norm_of, inputs(x, Dtype::f64), 1e-5)) << x;
  const Tensor gamma = random({5}, 2, Dtype::f64);
  const Function without_beta = [](const std::vector<Tensor>& in) {
    return layer_norm(in[0], in[1], {}, {.eps = 0.1});
  };
  EXPECT_TRUE(gradient_is_right(without_beta, {random({3, 5}, 1, Dtype::f64), gamma}));
}

/// Mean 3, variance 14/4.
TEST(LayerNorm, ComputesWhatItShould) {
  const Tensor x = from_vector<float>({1, 4}, {1, 2, 3, 6}), gamma = full({4}, 2),
               beta = from_vector<float>({4}, {0, 0, 0, 1});
  for (Backend b : both) {
    BackendScope scope(b);
    const Tensor plain = layer_norm(x, {}, {}, {.eps = 0.5}),
                 scaled = layer_norm(x, gamma, beta, {.eps = 0.5});
    EXPECT_EQ(to_vector<float>(plain), (std::vector<float>{-1, -0.5, 0, 1.5})) << b;
    EXPECT_EQ(to_vector<float>(scaled), (std::vector<float>{-2, -1, 0, 4})) << b;
    Layer layer(x);
    layer.forward(b, empty_like(x), {.eps = 0.5});
    EXPECT_EQ(item(layer.mean), 3) << b;
    EXPECT_EQ(item(layer.rstd), 0.5) << b;
  }
}

TEST(LayerNorm, SurvivesAMeanFarFromZero) {
  // 1e4 + [-sqrt 3, sqrt 3): variance 1, where the sum of squares has lost all of it; 3001 channels
  // of which a sum in f32 has lost the mean's last digits.
  const Tensor far = random({3, 3001}, 1, Dtype::f32, 1e4 - std::sqrt(3.), 1e4 + std::sqrt(3.));
  const Tensor exact = cast(far, Dtype::f64), want = empty_like(exact);
  const Tensor mean = empty({3}, Dtype::f64), rstd = empty({3}, Dtype::f64);
  kernels::layer_norm(Backend::reference)
      .forward({}, {}, exact.view(), {}, want.view(), {mean.view(), rstd.view()});
  EXPECT_NEAR(to_vector<double>(rstd)[0], 1, 0.05);
  for (Backend b : both) {
    BackendScope scope(b);
    EXPECT_LE(error(layer_norm(far), want), 8 * epsilon(Dtype::f32)) << b;
  }
  // A value far from all others.
  const Tensor outlier = random({2, 3001});
  data<float>(outlier)[0] = data<float>(outlier)[outlier.view().stride(0) + 7] = 1e4;
  EXPECT_TRUE(matches_reference(norm_of, {outlier}, 8 * epsilon(Dtype::f32)));
}

TEST(LayerNorm, EveryPassOverwritesItsOutputAndZeroesTails) {
  for (const Shape& shape : {Shape{6, 5}, Shape{2, 3, 4, 5, 45}, Shape{2, 2, 3, 3, 3}})
    for (Backend b : both)
      for (Dtype type : activation_types) {
        Layer s(random(shape, 1, type));
        const Tensor y = poisoned(shape, type), dx = poisoned(shape, type),
                     dgamma = poisoned({shape[-1]}), dbeta = poisoned({shape[-1]});
        s.forward(b, y);
        s.grad(b, random(shape, 6, type), {{dx.view()}, {dgamma.view()}, {dbeta.view()}});
        for (const Tensor& t : {y, dx, dgamma, dbeta, s.mean, s.rstd}) {
          EXPECT_TRUE(tail_is_zero(t)) << shape << " on " << b;
          for (float v : floats(t)) ASSERT_FALSE(std::isnan(v)) << shape << " on " << b;
        }
      }
}

TEST(LayerNorm, TakesChannelFrameAndTimeSlices) {
  const Shape shape{2, 3, 4, 5, 6};
  for (Backend b : both)
    for (Dtype type : activation_types) {
      Layer s(random(shape, 1, type)), part(s);
      const Tensor dy = random(shape, 6, type), y = empty(shape, type), dx = empty(shape, type);
      s.forward(b, y);
      s.grad(b, dy, {.dx = {dx.view()}});
      const Slice x_in(s.x, 3, 2), y_out(shape, 2, 3, type), dy_in(dy, 4, 4),
          dx_out(shape, 1, 2, type);
      part.x = x_in.part;
      part.forward(b, y_out.part);
      part.grad(b, dy_in.part, {.dx = {dx_out.part.view()}});
      EXPECT_EQ(floats(y_out.part), floats(y)) << b << type;
      EXPECT_EQ(floats(dx_out.part), floats(dx)) << b << type;
      EXPECT_TRUE(y_out.neighbours_untouched() && dx_out.neighbours_untouched()) << b << type;

      const Tensor odd = slice(slice(random({3, 7, 4, 5, 6}, 1, type), 1, 1, 3, 2), 2, 1, 2);
      Layer strided(odd), packed(contiguous(odd));
      const Tensor from_view = empty(odd.shape(), type), from_copy = empty(odd.shape(), type);
      strided.forward(b, from_view);
      packed.forward(b, from_copy);
      EXPECT_EQ(floats(from_view), floats(from_copy)) << b << type;
      EXPECT_EQ(floats(strided.mean), floats(packed.mean)) << b << type;
    }
}

TEST(LayerNorm, GradientsAccumulate) {
  const Shape shape{2, 3, 4, 5, 6}, channels{6};
  for (Backend b : both) {
    Layer s(random(shape));
    const Tensor dy = random(shape, 6);
    s.forward(b, empty(shape));
    std::vector<Tensor> once, sum;
    kernels::LayerNormTargets overwrite, add;
    for (auto [first, second, like] : {std::tuple{&overwrite.dx, &add.dx, shape},
                                       {&overwrite.dgamma, &add.dgamma, channels},
                                       {&overwrite.dbeta, &add.dbeta, channels}}) {
      once.push_back(empty(like));
      sum.push_back(random(like, 11));
      *first = {once.back().view(), false};
      *second = {sum.back().view(), true};
    }
    s.grad(b, dy, overwrite);
    s.grad(b, dy, add);
    for (size_t i = 0; i < once.size(); ++i) {
      copy(random(once[i].shape(), 11), once[i], true);
      // One addition each, rounded once or twice.
      EXPECT_LE(error(sum[i], once[i]), 2 * epsilon(Dtype::f32)) << i << " on " << b;
      EXPECT_TRUE(tail_is_zero(sum[i]));
    }
  }
}

TEST(LayerNorm, WritesOnlyTheGradientsThatAreWanted) {
  const std::vector<Tensor> in = inputs({3, 7, 20});
  for (Backend b : both) {
    BackendScope scope(b);
    std::vector<Tensor> all;
    for (const Tensor& t : in) all.push_back(parameter(t));
    const Tensor y = norm_of(all), dy = random(y.shape(), 6);
    backward(y, dy);
    for (size_t i = 0; i < in.size(); ++i) {
      std::vector<Tensor> one = in;
      one[i] = parameter(in[i]);
      backward(norm_of(one), dy);
      EXPECT_EQ(to_vector<float>(gradient(one[i])), to_vector<float>(gradient(all[i]))) << i << b;
    }
  }
}

TEST(LayerNorm, DoesNotDependOnTheNumberOfThreads) {
  const int threads = omp_get_max_threads();
  std::vector<std::vector<float>> runs[2];
  for (int run = 0; run < 2; ++run) {
    omp_set_num_threads(run ? 5 : 1);
    std::vector<Tensor> in = inputs({3, 700, 37});
    for (Tensor& t : in) t = parameter(t);
    const Tensor y = norm_of(in);
    backward(y, random(y.shape(), 6));
    runs[run].push_back(to_vector<float>(y));
    for (const Tensor& t : in) runs[run].push_back(to_vector<float>(gradient(t)));
  }
  omp_set_num_threads(threads);
  EXPECT_EQ(runs[0], runs[1]);
}

TEST(LayerNorm, ModuleIsNamedAsInPyTorchAndResets) {
  struct Net : nn::Module {
    nn::LayerNorm norm{this, "norm", 3, {.eps = 1e-3}};
  } net;
  std::string names;
  for (const auto& p : net.parameters()) names += p.name + " ";
  EXPECT_EQ(names, "norm.weight norm.bias ");
  EXPECT_TRUE(net.buffers().empty());
  const Tensor x = random({2, 3, 4, 5, 3});
  EXPECT_EQ(to_vector<float>(net.norm.forward(x)),
            to_vector<float>(layer_norm(x, {}, {}, {.eps = 1e-3})));
  fill(net.norm.weight, 5);
  fill(net.norm.bias, 5);
  net.initialise(1);
  EXPECT_EQ(to_vector<float>(net.norm.weight), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(to_vector<float>(net.norm.bias), (std::vector<float>{0, 0, 0}));
}

TEST(LayerNorm, MetaComputesShapesAlone) {
  const DeviceScope meta(Device::meta);
  const nn::LayerNorm norm(nullptr, "", 3);
  EXPECT_EQ(norm.forward(empty({2, 3, 4, 5, 3})).shape(), (Shape{2, 3, 4, 5, 3}));
}

TEST(LayerNorm, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3});
  auto says = [](const Tensor& in, const Tensor& gamma, const Tensor& beta, double eps = 1e-5) {
    return refusal([&] { layer_norm(in, gamma, beta, {.eps = eps}); });
  };
  EXPECT_EQ(says(x, full({2}, 1), {}), "layer_norm: gamma must be f32 [3], got f32 [2]");
  EXPECT_EQ(says(x, {}, full({3}, 1, Dtype::f64)), "layer_norm: beta must be f32 [3], got f64 [3]");
  EXPECT_EQ(says(random({2, 3}, 1, Dtype::bf16), full({3}, 1, Dtype::bf16), {}),
            "layer_norm: gamma must be f32 [3], got bf16 [3]");
  EXPECT_EQ(says(x, {}, {}, -1), "layer_norm: eps must not be negative, got -1");
  EXPECT_EQ(says(empty({2, 3}, Dtype::u8), {}, {}),
            "layer_norm: expected a floating-point tensor, got u8");
  EXPECT_EQ(says(empty({}), {}, {}), "layer_norm: x must have at least 1 axis, got []");
  for (Backend b : both) {
    Layer s(x);
    const Tensor other = random({3, 2}), narrow = random({2, 3}, 1, Dtype::f16);
    EXPECT_EQ(refusal([&] { s.forward(b, other); }),
              "layer_norm: y must be f32 [2,3], got f32 [3,2]");
    EXPECT_EQ(refusal([&] { s.grad(b, narrow, {}); }),
              "layer_norm: dy must be f32 [2,3], got f16 [2,3]");
    EXPECT_EQ(refusal([&] { s.grad(b, x, {.dx = {other.view()}}); }),
              "layer_norm: dx must be f32 [2,3], got f32 [3,2]");
    EXPECT_EQ(refusal([&] { s.grad(b, x, {.dbeta = {s.mean.view()}}); }),
              "layer_norm: dbeta must be f32 [3], got f32 [2]");
    s.rstd = empty({3});
    EXPECT_EQ(refusal([&] {
                s.forward(b, empty({2, 3}));
              }),
              "layer_norm: rstd must be f32 [2], got f32 [3]");
  }
}

}  // namespace
}  // namespace kinema::test
