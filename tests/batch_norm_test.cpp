#include "kernels/batch_norm/batch_norm.h"
#include <omp.h>
#include "engine/nn/batch_norm.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/views.h"
#include "kernels/batch_norm/batch_norm_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const Backend both[] = {Backend::reference, Backend::cpu};

/// Which of the variants a test runs.
struct Variant {
  bool training, relu, residual;
};
const Variant variants[] = {{true, false, false}, {true, true, false},   {true, false, true},
                            {true, true, true},   {false, false, false}, {false, true, false},
                            {false, false, true}, {false, true, true}};
std::ostream& operator<<(std::ostream& out, const Variant& v) {
  return out << (v.training ? "training" : "inference") << (v.residual ? " + residual" : "")
             << (v.relu ? " + ReLU" : "");
}

/// batch_norm of {x, gamma, beta, residual}, with running statistics of its own at each call.
Function function(const Variant& v) {
  return [v](const std::vector<Tensor>& in) {
    const Shape channels{in[0].shape(-1)};
    const Dtype type = kernels::wide_of(in[0].dtype());
    const BatchNormWeights w{in[1], in[2], random(channels, 7, type),
                             random(channels, 8, type, 0.5, 2)};
    return batch_norm(in[0], w, v.training, {},
                      {.residual = v.residual ? in[3] : Tensor{}, .relu = v.relu});
  };
}

std::vector<Tensor> inputs(const Shape& x, const Variant& v, Dtype type = Dtype::f32) {
  const Shape channels{x[-1]};
  const Dtype wide = kernels::wide_of(type);
  std::vector<Tensor> in{random(x, 1, type), random(channels, 2, wide, 0.5, 2),
                         random(channels, 3, wide)};
  if (v.residual) in.push_back(random(x, 4, type));
  return in;
}

/// Everything a kernel pass takes, for a given x.
struct Layer {
  explicit Layer(const Tensor& x_, bool relu_ = false) : x(x_), relu(relu_) {
    const Shape channels{x.shape(-1)};
    gamma = random(channels, 2, Dtype::f32, 0.5, 2);
    beta = random(channels, 3);
    running_mean = random(channels, 4);
    running_var = random(channels, 5, Dtype::f32, 0.5, 2);
    mean = empty(channels);
    rstd = empty(channels);
  }
  void forward(Backend b, const Tensor& y, const Tensor& residual = {}, bool training = true) {
    const auto& op = kernels::batch_norm(b);
    (training ? op.train_forward : op.infer_forward)(
        {}, {}, x.view(), {gamma.view(), beta.view(), running_mean.view(), running_var.view()},
        {residual.view(), relu}, y.view(), {mean.view(), rstd.view()});
  }
  void grad(Backend b, const Tensor& dy, const kernels::BatchNormTargets& to, const Tensor& y = {},
            bool training = true) {
    const auto& op = kernels::batch_norm(b);
    (training ? op.train_grad : op.infer_grad)(
        {}, {x.view(), gamma.view(), beta.view(), mean.view(), rstd.view(), y.view(), relu},
        dy.view(), to);
  }
  Tensor x, gamma, beta, running_mean, running_var, mean, rstd;
  bool relu;
};

TEST(BatchNorm, CpuMatchesReference) {
  int64_t cases = 0;
  for (const auto& c : kernels::batch_norm_cases) {
    if (std::string(c.tag) != "ci") continue;
    ++cases;
    // Sums over chunks in f32 round by a few units; rstd, up to 20 where there are few rows,
    // magnifies what the mean's last place leaves. Two rows leave dx near 0: a difference of large
    // numbers, whose rounding is measured against next to nothing.
    const double bound = (c.x.size() == 2 * c.x[-1] ? 4096 : 64) * epsilon(Dtype::f32);
    for (Dtype type : activation_types)
      for (const Variant& v : variants)
        EXPECT_TRUE(matches_reference(function(v), inputs(c.x, v, type), bound))
            << c.x << " " << v << " in " << type;
  }
  EXPECT_GE(cases, 10);
}

TEST(BatchNorm, GradientsAreRight) {
  for (const Shape& x : {Shape{5, 3}, Shape{2, 2, 1, 3, 4}, Shape{1, 3, 2, 2, 2}})
    for (const Variant& v : variants)
      // rstd is up to 5 here, and the third derivative goes with its cube.
      EXPECT_TRUE(gradient_is_right(function(v), inputs(x, v, Dtype::f64), 1e-5)) << x << " " << v;
}

TEST(BatchNorm, EveryPassOverwritesItsOutputAndZeroesTails) {
  for (const Shape& shape : {Shape{6, 5}, Shape{2, 3, 4, 5, 45}, Shape{2, 2, 3, 3, 3}})
    for (Backend b : both)
      for (bool training : {true, false}) {
        Layer s(random(shape), true);
        const Tensor y = poisoned(shape), dx = poisoned(shape), dresidual = poisoned(shape),
                     dgamma = poisoned({shape[-1]}), dbeta = poisoned({shape[-1]});
        s.forward(b, y, random(shape, 9), training);
        s.grad(b, random(shape, 6),
               {{dx.view()}, {dgamma.view()}, {dbeta.view()}, {dresidual.view()}}, y, training);
        for (const Tensor& t : {y, dx, dresidual, dgamma, dbeta}) {
          EXPECT_TRUE(tail_is_zero(t)) << shape << " on " << b;
          for (float v : to_vector<float>(t)) ASSERT_FALSE(std::isnan(v)) << shape << " on " << b;
        }
      }
}

TEST(BatchNorm, TakesChannelFrameAndTimeSlices) {
  const Shape shape{2, 3, 4, 5, 6};
  // A slice is summed row by row, a whole tensor several rows at once: they round differently.
  for (Backend b : both)
    for (Dtype type : activation_types) {
      const double bound = 32 * epsilon(Dtype::f32) + rounding(type);
      Layer s(random(shape, 1, type), true), part(s);
      const Tensor residual = random(shape, 9, type), dy = random(shape, 6, type);
      const Tensor y = empty(shape, type), dx = empty(shape, type), dresidual = empty(shape, type);
      s.forward(b, y, residual);
      s.grad(b, dy, {{dx.view()}, {}, {}, {dresidual.view()}}, y);

      const Slice x_in(s.x, 3, 2), residual_in(residual, 1, 5), y_out(shape, 2, 3, type),
          dy_in(dy, 4, 4);
      const Slice dx_out(shape, 1, 2, type), dresidual_out(shape, 7, 1, type);
      part.x = x_in.part;
      part.forward(b, y_out.part, residual_in.part);
      part.grad(b, dy_in.part, {{dx_out.part.view()}, {}, {}, {dresidual_out.part.view()}},
                y_out.part);
      EXPECT_LE(error(y_out.part, y), bound) << b << type;
      EXPECT_LE(error(dx_out.part, dx), bound) << b << type;
      EXPECT_LE(error(dresidual_out.part, dresidual), bound) << b << type;
      EXPECT_TRUE(y_out.neighbours_untouched() && dx_out.neighbours_untouched() &&
                  dresidual_out.neighbours_untouched())
          << b << type;

      // From slices into tensors that own zero lanes.
      const Tensor y_own = poisoned(shape, type), dx_own = poisoned(shape, type),
                   dresidual_own = poisoned(shape, type);
      part.forward(b, y_own, residual_in.part);
      part.grad(b, dy_in.part, {{dx_own.view()}, {}, {}, {dresidual_own.view()}}, y_own);
      EXPECT_LE(error(dx_own, dx), bound) << b << type;
      EXPECT_TRUE(tail_is_zero(y_own) && tail_is_zero(dx_own) && tail_is_zero(dresidual_own))
          << b << type;

      const Tensor odd = slice(slice(random({3, 7, 4, 5, 6}, 1, type), 1, 1, 3, 2), 2, 1, 2);
      Layer strided(odd), packed(contiguous(odd));
      const Tensor from_view = empty(odd.shape(), type), from_copy = empty(odd.shape(), type);
      strided.forward(b, from_view);
      packed.forward(b, from_copy);
      EXPECT_LE(error(from_view, from_copy), bound) << b << type;
    }
}

TEST(BatchNorm, GradientsAccumulate) {
  const Shape shape{2, 3, 4, 5, 6}, channels{6};
  for (Backend b : both)
    for (bool training : {true, false}) {
      Layer s(random(shape), true);
      const Tensor y = empty(shape), dy = random(shape, 6);
      s.forward(b, y, random(shape, 9), training);
      std::vector<Tensor> once, sum;
      kernels::BatchNormTargets overwrite, add;
      for (auto [first, second, like] : {std::tuple{&overwrite.dx, &add.dx, shape},
                                         {&overwrite.dgamma, &add.dgamma, channels},
                                         {&overwrite.dbeta, &add.dbeta, channels},
                                         {&overwrite.dresidual, &add.dresidual, shape}}) {
        once.push_back(empty(like));
        sum.push_back(empty(like));
        copy(random(like, 11), sum.back());
        *first = {once.back().view(), false};
        *second = {sum.back().view(), true};
      }
      s.grad(b, dy, overwrite, y, training);
      s.grad(b, dy, add, y, training);
      for (size_t i = 0; i < once.size(); ++i) {
        copy(random(once[i].shape(), 11), once[i], true);
        // One addition each, rounded once or twice.
        EXPECT_LE(error(sum[i], once[i]), 2 * epsilon(Dtype::f32)) << i << " on " << b;
        EXPECT_TRUE(tail_is_zero(sum[i]));
      }
    }
}

TEST(BatchNorm, StatisticsSurviveAMeanFarFromZero) {
  // 1e4 + [-sqrt 3, sqrt 3): variance 1, where the sum of squares has lost all of it.
  const Tensor noise = random({4, 6, 20, 20, 5}, 1, Dtype::f64, -std::sqrt(3.0), std::sqrt(3.0));
  const Tensor shifted = full(noise.shape(), 1e4, Dtype::f64);
  copy(noise, shifted, true);
  const Tensor x = cast(shifted, Dtype::f32), want = empty({5}, Dtype::f64),
               mean = empty({5}, Dtype::f64), got = empty({5}), got_mean = empty({5});
  kernels::batch_norm(Backend::reference).statistics({}, noise.view(), mean.view(), want.view());
  for (Backend b : both) {
    kernels::batch_norm(b).statistics({}, x.view(), got_mean.view(), got.view());
    for (size_t c = 0; c < 5; ++c) {
      EXPECT_NEAR(to_vector<float>(got)[c], to_vector<double>(want)[c], 1e-3) << b;
      // Half a unit in the last place of 1e4.
      EXPECT_NEAR(to_vector<float>(got_mean)[c], 1e4 + to_vector<double>(mean)[c], 5e-4) << b;
    }
  }
  // A first row far from all others makes the worst shift.
  const Tensor outlier = random({40000, 3});
  for (int64_t c = 0; c < 3; ++c) data<float>(outlier)[c] = 1e4;
  const Tensor a = empty({3}), d = empty({3}), m = empty({3});
  kernels::batch_norm(Backend::reference).statistics({}, outlier.view(), m.view(), a.view());
  kernels::batch_norm(Backend::cpu).statistics({}, outlier.view(), m.view(), d.view());
  EXPECT_LE(error(d, a), 1e-4);
}

TEST(BatchNorm, RunningStatisticsMoveByMomentumAndTakeTheUnbiasedVariance) {
  const Tensor x = from_vector<float>({4, 1}, {1, 2, 3, 6});
  for (Backend b : both) {
    BackendScope scope(b);
    const BatchNormWeights w{full({1}, 2), full({1}, 1), full({1}, 10), full({1}, 5)};
    const Tensor y = batch_norm(x, w, true, {.eps = 0.5, .momentum = 0.25});
    // Mean 3, variance 14/4 and, unbiased, 14/3.
    EXPECT_FLOAT_EQ(float(item(w.running_mean)), 0.75f * 10 + 0.25f * 3);
    EXPECT_FLOAT_EQ(float(item(w.running_var)), 0.75f * 5 + 0.25f * 14 / 3);
    EXPECT_EQ(to_vector<float>(y), (std::vector<float>{-1, 0, 1, 4}));
    const Tensor z = batch_norm(x, {full({1}, 2), full({1}, 1), full({1}, 2), full({1}, 3.5)},
                                false, {.eps = 0.5});
    EXPECT_EQ(to_vector<float>(z), (std::vector<float>{0, 1, 2, 5}));
  }
}

TEST(BatchNorm, BackwardSeesTheSameReluAsForward) {
  // Many values equal the rounded mean, so that outputs are just 0: any other way to round would
  // open some of them, and a count differ. Counts are exact.
  const Shape shape{2, 4, 16, 16, 19};
  for (Backend b : both) {
    Layer s(random(shape, 1, Dtype::f32, 999.999, 1000.001), true);
    fill(s.beta, 0);
    const Tensor y = empty(shape), dbeta = empty({19});
    s.forward(b, y);
    s.grad(b, full(shape, 1), {{}, {}, {dbeta.view()}, {}});
    std::vector<float> open(19, 0.f);
    const std::vector<float> values = to_vector<float>(y);
    for (size_t i = 0; i < values.size(); ++i) open[i % 19] += values[i] > 0;
    EXPECT_EQ(to_vector<float>(dbeta), open) << b;
  }
}

TEST(BatchNorm, DoesNotDependOnTheNumberOfThreads) {
  const Variant v{true, true, true};
  const int threads = omp_get_max_threads();
  std::vector<std::vector<float>> runs[2];
  for (int run = 0; run < 2; ++run) {
    omp_set_num_threads(run ? 5 : 1);
    std::vector<Tensor> in = inputs({3, 7, 20, 20, 37}, v);
    for (Tensor& t : in) t = parameter(t);
    const Tensor y = function(v)(in);
    backward(y, random(y.shape(), 6));
    runs[run].push_back(to_vector<float>(y));
    for (const Tensor& t : in) runs[run].push_back(to_vector<float>(gradient(t)));
  }
  omp_set_num_threads(threads);
  EXPECT_EQ(runs[0], runs[1]);
}

TEST(BatchNorm, KeepsTheOutputOnlyWhereAResidualMeetsARelu) {
  const Shape shape{1, 4, 32, 32, 16};
  for (const Variant& v : variants) {
    std::vector<Tensor> in = inputs(shape, v);
    in[0] = parameter(in[0]);
    const std::weak_ptr<Storage> kept = [&] {
      const Tensor y = function(v)(in);
      const Tensor tape{nullptr, {}, y.node};
      const std::weak_ptr<Storage> storage = y.storage;
      in.push_back(tape);
      return storage;
    }();
    EXPECT_EQ(!kept.expired(), v.relu && v.residual) << v;
  }
}

TEST(BatchNorm, ModuleIsNamedAsInPyTorchAndResets) {
  struct Net : nn::Module {
    nn::BatchNorm bn{this, "bn", 3, {.eps = 1e-3}};
  } net;
  std::string names;
  for (const auto& p : net.parameters()) names += p.name + " ";
  for (const auto& p : net.buffers()) names += p.name + " ";
  EXPECT_EQ(names, "bn.weight bn.bias bn.running_mean bn.running_var ");
  const Tensor x = random({2, 3, 4, 5, 3});
  const Tensor y = net.bn.forward(x);
  EXPECT_NE(to_vector<float>(net.bn.running_mean), (std::vector<float>{0, 0, 0}));
  const std::vector<float> moved = to_vector<float>(net.bn.running_var);
  net.train(false);
  EXPECT_GT(error(net.bn.forward(x), y), 0.01);
  EXPECT_EQ(to_vector<float>(net.bn.running_var), moved);
  fill(net.bn.weight, 5);
  net.initialise(1);
  EXPECT_EQ(to_vector<float>(net.bn.weight), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(to_vector<float>(net.bn.bias), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(to_vector<float>(net.bn.running_mean), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(to_vector<float>(net.bn.running_var), (std::vector<float>{1, 1, 1}));
}

TEST(BatchNorm, MetaComputesShapesAlone) {
  const DeviceScope meta(Device::meta);
  const nn::BatchNorm bn(nullptr, "", 3);
  EXPECT_EQ(bn.forward(empty({2, 3, 4, 5, 3})).shape(), (Shape{2, 3, 4, 5, 3}));
}

TEST(BatchNorm, RefusesWhatDoesNotFit) {
  const Shape shape{2, 3, 3};
  auto weights = [](int64_t n) {
    return BatchNormWeights{full({n}, 1), full({n}, 0), full({n}, 0), full({n}, 1)};
  };
  auto text = [&](const Tensor& x, const BatchNormWeights& w, bool training = true,
                  const BatchNormOptions& o = {}, const BatchNormExtras& e = {}) {
    return refusal([&] { batch_norm(x, w, training, o, e); });
  };
  EXPECT_EQ(text(random({5}), weights(5)), "batch_norm: x must have at least 2 axes, got [5]");
  EXPECT_EQ(text(random({1, 1, 4}), weights(4)),
            "batch_norm: training needs more than one value per channel, got x [1,1,4]");
  EXPECT_EQ(text(empty({0, 3, 4}), weights(4)),
            "batch_norm: training needs more than one value per channel, got x [0,3,4]");
  EXPECT_EQ(text(random({1, 1, 4}), weights(4), false), "");
  EXPECT_EQ(text(empty({0, 3, 4}), weights(4), false), "");
  EXPECT_EQ(text(random(shape), weights(4)), "batch_norm: gamma must be f32 [3], got f32 [4]");
  BatchNormWeights w = weights(3);
  w.running_var = full({3}, 1, Dtype::f64);
  EXPECT_EQ(text(random(shape), w), "batch_norm: running_var must be f32 [3], got f64 [3]");
  w = weights(3);
  w.running_mean = parameter(w.running_mean);
  EXPECT_EQ(text(random(shape), w), "batch_norm: running statistics take no gradient");
  EXPECT_EQ(text(random(shape), weights(3), true, {.eps = -1}),
            "batch_norm: eps must not be negative, got -1");
  EXPECT_EQ(text(random(shape), weights(3), true, {.momentum = 1.5}),
            "batch_norm: momentum must lie in [0, 1], got 1.5");
  EXPECT_EQ(text(random(shape), weights(3), true, {}, {.residual = random({2, 3, 2})}),
            "batch_norm: the residual must be f32 [2,3,3], got f32 [2,3,2]");
  EXPECT_EQ(text(random(shape), weights(3), true, {}, {.out = random({2, 3, 2})}),
            "batch_norm: y must be f32 [2,3,3], got f32 [2,3,2]");
  EXPECT_EQ(text(empty(shape, Dtype::u8), weights(3)),
            "batch_norm: expected a floating-point tensor, got u8");
  for (Backend b : both) {
    Layer s(random(shape), true);
    const Tensor y = empty(shape), dresidual = empty(shape);
    s.forward(b, y, random(shape));
    EXPECT_EQ(refusal([&] {
                s.grad(b, y, {{}, {}, {}, {dresidual.view()}});
              }),
              "batch_norm: the gradient of a residual under ReLU needs y");
    EXPECT_EQ(refusal([&] {
                s.grad(b, random({2, 3, 2}), {});
              }),
              "batch_norm: dy must be f32 [2,3,3], got f32 [2,3,2]");
  }
}

}  // namespace
}  // namespace kinema::test
