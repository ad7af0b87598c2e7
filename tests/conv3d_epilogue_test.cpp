#include <omp.h>
#include "engine/ops/conv3d.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/views.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/conv3d/conv3d.h"
#include "tests/support/check.h"

// What forward and grad_input leave beside their results, on the host.

namespace kinema::test {
namespace {

using kernels::Conv3d;

const std::pair<const char*, const Conv3d*> hosts[] = {{"reference", &kernels::conv3d_reference},
                                                       {"cpu", &kernels::conv3d_cpu}};

struct Problem {
  const char* what;
  Shape x, w;
  Conv3dOptions options;
  Shape y() const { return kernels::conv3d_output(options, x, w); }
};
const Problem problems[] = {
    {"dense", {2, 3, 5, 6, 9}, {13, 3, 3, 3, 9}, {.pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}}},
    {"strides, a stem", {3, 4, 40, 40, 3}, {8, 3, 5, 5, 3}, {.stride = {1, 2, 2}}},
    {"depthwise", {2, 3, 6, 7, 18}, {18, 3, 3, 3, 1}, {.groups = 18}},
    {"one pixel", {1, 1, 3, 3, 4}, {5, 1, 3, 3, 4}, {}},
    {"no clips", {0, 2, 3, 3, 4}, {5, 1, 3, 3, 4}, {}},
    {"no channels out", {1, 2, 3, 3, 4}, {0, 1, 3, 3, 4}, {}},
};

/// f for each problem, backend and type that the backend has.
template <class F>
void each_problem(const F& f) {
  for (const Problem& p : problems)
    for (const auto& [name, op] : hosts)
      for (Dtype type : {Dtype::f32, Dtype::bf16, Dtype::f16, Dtype::f64}) {
        if (type == Dtype::f64 && op == &kernels::conv3d_cpu) continue;
        SCOPED_TRACE(std::string(p.what) + " on " + name + " in " + name_of(type));
        f(p, *op, type);
      }
}

std::vector<double> doubles(const Tensor& t) { return to_vector<double>(cast(t, Dtype::f64)); }

/// Pixels, mean and M2 of each channel, in double.
std::vector<std::array<double, 3>> statistics(const Tensor& y) {
  const std::vector<double> values = doubles(y);
  const size_t channels = size_t(y.shape(4));
  std::vector<std::array<double, 3>> of(channels);
  for (size_t k = 0; k < channels; ++k) {
    auto& [count, mean, m2] = of[k];
    for (size_t i = k; i < values.size(); i += channels) ++count, mean += values[i];
    if (count > 0) mean /= count;
    for (size_t i = k; i < values.size(); i += channels)
      m2 += (values[i] - mean) * (values[i] - mean);
  }
  return of;
}

TEST(Conv3dEpilogue, PartialsAreTheStatisticsOfTheStoredResult) {
  each_problem([](const Problem& p, const Conv3d& op, Dtype type) {
    const Tensor x = random(p.x, 1, type), w = random(p.w, 2, type);
    const Tensor y = poisoned(p.y(), type), plain = poisoned(p.y(), type);
    // Far from zero, where a sum of squares would lose what M2 keeps.
    const Dtype wide = kernels::wide_of(type);
    const Tensor bias = full({p.w[0]}, 30, wide), partials = poisoned({1, 3, p.w[0]}, wide);
    op.forward({}, p.options, x.view(), w.view(), plain.view(), {.bias = bias.view()});
    op.forward({}, p.options, x.view(), w.view(), y.view(),
               {.bias = bias.view(), .partials = partials.view()});
    EXPECT_EQ(doubles(y), doubles(plain));
    EXPECT_TRUE(tail_is_zero(partials));
    EXPECT_EQ(op.tiles(kernels::Conv3dPass::forward, p.options, x.view(), w.view(), y.view()), 1);
    const std::vector<double> got = doubles(partials);
    const auto want = statistics(y);
    // The mean and M2 are rounded once or twice; cpu sums chunks of 4096 in f32.
    const double bound = 16 * epsilon(wide);
    for (size_t k = 0; k < want.size(); ++k) {
      const auto& [count, mean, m2] = want[k];
      EXPECT_EQ(got[k], count);
      EXPECT_NEAR(got[want.size() + k], mean, bound * std::abs(mean));
      EXPECT_NEAR(got[2 * want.size() + k], m2, 64 * bound * m2);
    }
  });
}

TEST(Conv3dEpilogue, PartialsAreThoseOfABatchNorm) {
  const Problem& p = problems[1];
  const Tensor x = random(p.x, 1), w = random(p.w, 2), y = empty(p.y());
  const Tensor partials = poisoned({1, 3, p.w[0]}), mean = empty({p.w[0]}), var = empty({p.w[0]});
  for (const auto& [name, op] : hosts) {
    op->forward({}, p.options, x.view(), w.view(), y.view(),
                {.relu = true, .partials = partials.view()});
    kernels::batch_norm_reference.statistics({}, y.view(), mean.view(), var.view());
    const std::vector<float> got = to_vector<float>(partials);
    for (int64_t k = 0; k < p.w[0]; ++k) {
      const auto of = [&](int64_t i) { return got[size_t(i * p.w[0] + k)]; };
      EXPECT_NEAR(of(1), data<float>(mean)[k], 1e-6 * data<float>(mean)[k]) << name;
      EXPECT_NEAR(of(2) / of(0), data<float>(var)[k], 1e-5 * data<float>(var)[k]) << name;
    }
  }
}

TEST(Conv3dEpilogue, TheMaskIsThatOfARelu) {
  each_problem([](const Problem& p, const Conv3d& op, Dtype type) {
    const BackendScope reference(Backend::reference);
    const Tensor dy = random(p.y(), 1, type), w = random(p.w, 2, type),
                 mask = relu(random(p.x, 3, type));
    for (bool accumulate : {false, true}) {
      const Tensor dx = random(p.x, 4, type), plain = random(p.x, 4, type);
      op.grad_input({}, p.options, dy.view(), w.view(), plain.view(), {.accumulate = accumulate});
      op.grad_input({}, p.options, dy.view(), w.view(), dx.view(),
                    {.accumulate = accumulate, .mask = mask.view()});
      EXPECT_EQ(doubles(dx), doubles(through_relu(mask, plain)));
      EXPECT_TRUE(tail_is_zero(dx));
    }
  });
}

/// A gradient that meets a NaN must not become a 0.
TEST(Conv3dEpilogue, TheMaskLetsNanPass) {
  const Shape one{1, 1, 1, 1, 1};
  for (const auto& [name, op] : hosts)
    for (Dtype type : {Dtype::f32, Dtype::bf16}) {
      const Tensor dy = full(one, 3, type), w = full(one, 1, type), dx = poisoned(one, type);
      const Tensor mask = full(one, std::nan(""), type);
      op->grad_input({}, {}, dy.view(), w.view(), dx.view(), {.mask = mask.view()});
      EXPECT_EQ(doubles(dx), std::vector<double>{3}) << name;
    }
}

TEST(Conv3dEpilogue, SumsAreThoseOfTheStoredGradient) {
  each_problem([](const Problem& p, const Conv3d& op, Dtype type) {
    const Dtype wide = kernels::wide_of(type);
    const int64_t channels = p.x[4];
    const Tensor dy = random(p.y(), 1, type), w = random(p.w, 2, type), mask = random(p.x, 3, type),
                 z = random(p.x, 4, type), mean = random({channels}, 5, wide);
    const Tensor dx = random(p.x, 6, type), plain = random(p.x, 6, type),
                 sums = poisoned({1, 2, channels}, wide);
    op.grad_input({}, p.options, dy.view(), w.view(), plain.view(),
                  {.accumulate = true, .mask = mask.view()});
    op.grad_input({}, p.options, dy.view(), w.view(), dx.view(),
                  {.accumulate = true,
                   .mask = mask.view(),
                   .sums = sums.view(),
                   .z = z.view(),
                   .mean = mean.view()});
    EXPECT_EQ(doubles(dx), doubles(plain));
    EXPECT_TRUE(tail_is_zero(sums));
    const std::vector<double> d = doubles(dx), of = doubles(z), m = doubles(mean),
                              got = doubles(sums);
    // cpu sums chunks of a few thousand terms in f32, which stray by the root of their number.
    const double bound = 64 * epsilon(wide);
    for (size_t c = 0; c < m.size(); ++c) {
      double sum = 0, products = 0, size = 0, product_size = 0;
      for (size_t i = c; i < d.size(); i += m.size()) {
        const double product = d[i] * (of[i] - m[c]);
        sum += d[i], size += std::abs(d[i]);
        products += product, product_size += std::abs(product);
      }
      EXPECT_NEAR(got[c], sum, bound * size);
      EXPECT_NEAR(got[m.size() + c], products, bound * product_size);
    }
  });
}

TEST(Conv3dEpilogue, BitsDoNotDependOnThreads) {
  const Problem p{"", {2, 4, 64, 64, 5}, {7, 1, 1, 1, 5}, {}};
  const Tensor x = random(p.x, 1), w = random(p.w, 2), y = random(p.y(), 3), mean = random({5}, 4);
  const auto run = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    const Tensor to = empty(p.y()), dx = empty(p.x), partials = empty({1, 3, 7}),
                 sums = empty({1, 2, 5});
    kernels::conv3d_cpu.forward({}, {}, x.view(), w.view(), to.view(),
                                {.partials = partials.view()});
    kernels::conv3d_cpu.grad_input(
        {}, {}, y.view(), w.view(), dx.view(),
        {.mask = x.view(), .sums = sums.view(), .z = x.view(), .mean = mean.view()});
    omp_set_num_threads(before);
    return std::vector{to_vector<float>(partials), to_vector<float>(sums), to_vector<float>(dx)};
  };
  EXPECT_EQ(run(1), run(3));
}

TEST(Conv3dEpilogue, TilesOfChannelSlices) {
  const Problem& p = problems[0];
  const Tensor x = random(p.x, 1), w = random(p.w, 2), dy = random(p.y(), 3), z = random(p.x, 4),
               mean = random({p.x[4]}, 5);
  for (const auto& [name, op] : hosts) {
    SCOPED_TRACE(name);
    const Slice y(p.y(), 2, 3), dx(p.x, 1, 2), mask(x, 3, 1), from(z, 1, 1);
    const Tensor partials = empty({1, 3, p.w[0]}), sums = empty({1, 2, p.x[4]});
    op->forward({}, p.options, x.view(), w.view(), y.part.view(), {.partials = partials.view()});
    op->grad_input({}, p.options, dy.view(), w.view(), dx.part.view(),
                   {.mask = mask.part.view(),
                    .sums = sums.view(),
                    .z = from.part.view(),
                    .mean = mean.view()});
    const Tensor whole_y = empty(p.y()), whole_dx = empty(p.x),
                 whole_partials = empty({1, 3, p.w[0]}), whole_sums = empty({1, 2, p.x[4]});
    op->forward({}, p.options, x.view(), w.view(), whole_y.view(),
                {.partials = whole_partials.view()});
    op->grad_input(
        {}, p.options, dy.view(), w.view(), whole_dx.view(),
        {.mask = x.view(), .sums = whole_sums.view(), .z = z.view(), .mean = mean.view()});
    EXPECT_LE(error(dx.part, whole_dx), 1e-6);
    EXPECT_LE(error(partials, whole_partials), 1e-6);
    EXPECT_LE(error(sums, whole_sums), 1e-6);
    for (const Slice* s : {&y, &dx}) EXPECT_TRUE(s->neighbours_untouched());
  }
}

TEST(Conv3dEpilogue, RefusesWhatDoesNotFit) {
  const Tensor x = random({1, 2, 4, 4, 6}), w = random({8, 1, 3, 3, 6}),
               y = random({1, 2, 2, 2, 8});
  for (const auto& [name, op] : hosts) {
    const auto forward = [&, o = op](const Tensor& partials) {
      return refusal(
          [&] { o->forward({}, {}, x.view(), w.view(), y.view(), {.partials = partials.view()}); });
    };
    EXPECT_EQ(forward(empty({1, 2, 8})),
              "conv3d: partials must be f32 [tiles,3,8], got f32 [1,2,8]");
    EXPECT_EQ(forward(empty({1, 3, 8}, Dtype::bf16)),
              "conv3d: partials must be f32 [tiles,3,8], got bf16 [1,3,8]");
    EXPECT_EQ(forward(empty({2, 3, 8})),
              "conv3d: partials and sums need an entry for each of 1 tiles, got [2,3,8]");
    const auto back = [&, o = op](const kernels::Conv3dGradEpilogue& e) {
      return refusal([&] { o->grad_input({}, {}, y.view(), w.view(), x.view(), e); });
    };
    const Tensor sums = empty({1, 2, 6}), mean = empty({6});
    EXPECT_EQ(back({.mask = y.view()}),
              "conv3d: mask and z must be f32 [1,2,4,4,6], got f32 [1,2,2,2,8]");
    EXPECT_EQ(back({.sums = sums.view()}),
              "conv3d: sums, z and mean go together, got only some of them");
    EXPECT_EQ(back({.sums = sums.view(), .z = x.view(), .mean = w.view()}),
              "conv3d: mean must be f32 [6], got f32 [8,1,3,3,6]");
    EXPECT_EQ(back({.sums = y.view(), .z = x.view(), .mean = mean.view()}),
              "conv3d: sums must be f32 [tiles,2,6], got f32 [1,2,2,2,8]");
    const Tensor two = empty({2, 2, 6});
    EXPECT_EQ(back({.sums = two.view(), .z = x.view(), .mean = mean.view()}),
              "conv3d: partials and sums need an entry for each of 1 tiles, got [2,2,6]");
  }
}

}  // namespace
}  // namespace kinema::test
