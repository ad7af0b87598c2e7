#include "kernels/local_response_norm/local_response_norm.h"
#include <dnnl.hpp>
#include "engine/nn/local_response_norm.h"
#include "kernels/base/vector_math.h"
#include "kernels/local_response_norm/local_response_norm_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using kernels::LocalResponseNormCase;

const Backend both[] = {Backend::reference, Backend::cpu};

/// Roundings: one a square and a sum of the window (halved or less by beta), 6 for the powers, the
/// products of the gradient, whose two terms may cancel to a fraction of either.
double bound(const LocalResponseNormOptions& o) { return double(12 + o.n) * epsilon(Dtype::f32); }

std::vector<LocalResponseNormCase> ci_cases() {
  std::vector<LocalResponseNormCase> ci;
  for (const auto& c : kernels::local_response_norm_cases)
    if (std::string(c.tag) == "ci") ci.push_back(c);
  return ci;
}

void expect_agreement(const LocalResponseNormCase& c, Dtype type) {
  SCOPED_TRACE(std::string(c.what) + " in " + name_of(type));
  const Tensor x = random(c.x, 1, type, -3, 3), dy = random(c.x, 2, type);
  Tensor y[2], dx[2], sum[2];
  for (int i = 0; i < 2; ++i) {
    const auto& op = kernels::local_response_norm(both[i]);
    y[i] = poisoned(c.x, type), dx[i] = poisoned(c.x, type), sum[i] = full(c.x, 3, type);
    op.forward({}, c.options, x.view(), y[i].view());
    op.grad({}, c.options, x.view(), dy.view(), dx[i].view(), false);
    op.grad({}, c.options, x.view(), dy.view(), sum[i].view(), true);
    EXPECT_TRUE(tail_is_zero(y[i]) && tail_is_zero(dx[i]) && tail_is_zero(sum[i])) << both[i];
  }
  const double allowed = bound(c.options) + rounding(type);
  EXPECT_LE(error(y[1], y[0]), allowed);
  EXPECT_LE(error(dx[1], dx[0]), allowed);
  EXPECT_LE(error(sum[1], sum[0]), allowed);
  if (c.x.size()) {
    EXPECT_NEAR(floats(sum[0])[0], floats(dx[0])[0] + 3, 1e-6 + 4 * rounding(type));
  }
}

TEST(LocalResponseNorm, EveryPassAgreesWithTheReference) {
  for (const auto& c : ci_cases())
    for (Dtype type : activation_types) expect_agreement(c, type);
}

/// x = 1, 2, 3 with n = 3, k = 1, alpha = 1: s = 6, 15, 14.
TEST(LocalResponseNorm, ComputesWhatItShould) {
  const Tensor x = from_vector<float>({1, 3}, {1, 2, 3});
  for (Backend b : both) {
    BackendScope scope(b);
    for (double beta : {0.5, 0.75, 1.}) {
      const LocalResponseNormOptions o{.n = 3, .k = 1, .alpha = 1, .beta = beta};
      const std::vector<float> y = to_vector<float>(local_response_norm(x, o));
      EXPECT_NEAR(y[0], 1 / std::pow(6, beta), 1e-6) << b;
      EXPECT_NEAR(y[1], 2 / std::pow(15, beta), 1e-6) << b;
      EXPECT_NEAR(y[2], 3 / std::pow(14, beta), 1e-6) << b;
    }
  }
}

/// The mapping that the contract states: oneDNN (as PyTorch and Caffe) divides alpha by n.
TEST(LocalResponseNorm, EqualsOneDnnWhoseAlphaIsTimesN) {
  const dnnl::engine host(dnnl::engine::kind::cpu, 0);
  dnnl::stream queue(host);
  const LocalResponseNormOptions o{.n = 5, .k = 2, .alpha = 0.1, .beta = 0.75};
  const Tensor x = random({2, 3, 4, 16}, 1, Dtype::f32, -3, 3);
  const dnnl::memory::desc d({2, 16, 3, 4}, dnnl::memory::data_type::f32,
                             dnnl::memory::format_tag::nhwc);
  const dnnl::lrn_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_inference, dnnl::algorithm::lrn_across_channels, d, o.n,
       float(o.alpha * double(o.n)), float(o.beta), float(o.k)},
      host);
  const Tensor want = empty(x.shape());
  dnnl::memory from(d, host, data<float>(x)), to(d, host, data<float>(want));
  dnnl::lrn_forward(forward).execute(queue, {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}});
  queue.wait();
  for (Backend b : both) {
    BackendScope scope(b);
    EXPECT_LE(error(local_response_norm(x, o), want), bound(o)) << b;
  }
}

TEST(LocalResponseNorm, ReadsSlicesAndLeavesNeighboursAlone) {
  const LocalResponseNormOptions o{.n = 5, .k = 1, .alpha = 0.5};
  const Tensor x = random({2, 4, 3, 5, 13}, 1), dy = random(x.shape(), 2);
  const Slice from(x, 3, 2), g(dy, 1, 1);
  for (Backend b : both) {
    const auto& op = kernels::local_response_norm(b);
    const Slice y(x.shape(), 2, 2), dx(x.shape(), 1, 4);
    Tensor want_y = empty_like(x), want_dx = empty_like(x);
    op.forward({}, o, x.view(), want_y.view());
    op.grad({}, o, x.view(), dy.view(), want_dx.view(), false);
    op.forward({}, o, from.part.view(), y.part.view());
    op.grad({}, o, from.part.view(), g.part.view(), dx.part.view(), false);
    EXPECT_EQ(to_vector<float>(y.part), to_vector<float>(want_y)) << b;
    EXPECT_EQ(to_vector<float>(dx.part), to_vector<float>(want_dx)) << b;
    EXPECT_TRUE(y.neighbours_untouched() && dx.neighbours_untouched()) << b;
    // Every second frame, all rows but one.
    const Tensor frames{x.storage, x.view().slice(1, 1, 2, 2).slice(2, 0, 2), nullptr};
    const Tensor dense = empty(frames.shape()), got = poisoned(frames.shape()),
                 want = empty(frames.shape());
    copy(frames, dense);
    op.forward({}, o, frames.view(), got.view());
    op.forward({}, o, dense.view(), want.view());
    EXPECT_EQ(to_vector<float>(got), to_vector<float>(want)) << b;
  }
}

TEST(LocalResponseNorm, GradientsAreRight) {
  for (double beta : {0.5, 0.75, 1.3})
    for (int64_t n : {1, 3, 9}) {
      const nn::LocalResponseNorm norm(nullptr, "", {.n = n, .k = 1, .alpha = 0.8, .beta = beta});
      const Function f = [&](const std::vector<Tensor>& in) { return norm.forward(in[0]); };
      EXPECT_TRUE(gradient_is_right(f, {random({2, 1, 2, 1, 6}, 1, Dtype::f64)})) << beta << n;
      EXPECT_TRUE(matches_reference(f, {random({2, 3, 2, 5, 45})}, bound(norm.constants)));
    }
}

TEST(LocalResponseNorm, NaNStaysInSight) {
  const Tensor x = from_vector<float>({1, 4}, {std::nanf(""), 1, 1, 1});
  for (Backend b : both) {
    BackendScope scope(b);
    const std::vector<float> y = to_vector<float>(local_response_norm(x, {.n = 3}));
    EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1])) << b;
    EXPECT_FALSE(std::isnan(y[2])) << b;
  }
}

TEST(LocalResponseNorm, OnMetaOnlyShapesAreChecked) {
  const Tensor x = empty({1, 2, 3, 4, 96}, Dtype::f32, Device::meta);
  EXPECT_EQ(local_response_norm(x).shape(), x.shape());
}

TEST(LocalResponseNorm, RefusesWhatDoesNotFit) {
  const Tensor x = random({2, 3}), y = random({3, 2}), z = random({2, 3}, 1, Dtype::f64);
  EXPECT_EQ(refusal([&] { local_response_norm(x, {.n = 4}); }),
            "local_response_norm: n must be odd, got 4");
  EXPECT_EQ(refusal([&] { local_response_norm(x, {.n = -1}); }),
            "local_response_norm: n must be odd, got -1");
  EXPECT_EQ(refusal([&] { local_response_norm(x, {.k = 0}); }),
            "local_response_norm: k must be above 0, got 0");
  EXPECT_EQ(refusal([&] { local_response_norm(x, {.beta = -1}); }),
            "local_response_norm: alpha and beta must not be negative, got 0.0001 and -1");
  for (Backend b : both) {
    const auto& op = kernels::local_response_norm(b);
    EXPECT_EQ(refusal([&] { op.forward({}, {}, x.view(), y.view()); }),
              "local_response_norm: shapes must agree, got [2,3] and [3,2]");
    EXPECT_EQ(refusal([&] { op.grad({}, {}, x.view(), x.view(), z.view(), false); }),
              "local_response_norm: types must agree, got f32 and f64");
  }
}

TEST(VectorMath, InverseRootIsGoodToThreeUnits) {
  double worst = 0;
  for (float x = 1e-30f; x < 1e30f; x *= 1.0007f)
    worst = std::max(worst, std::abs(double(kernels::vector_rsqrt(x)) * std::sqrt(double(x)) - 1));
  EXPECT_LE(worst, 3 * epsilon(Dtype::f32));
  EXPECT_TRUE(std::isnan(kernels::vector_rsqrt(std::nanf(""))));
}

}  // namespace
}  // namespace kinema::test
