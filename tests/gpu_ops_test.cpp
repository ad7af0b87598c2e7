// labels: ci, emulated
// Every operation on Device::gpu, whose kernels the emulation runs late, against the cpu backend.
#include "engine/gpu.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/conv3d.h"
#include "engine/ops/layer_norm.h"
#include "engine/ops/linear.h"
#include "engine/ops/local_response_norm.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/pool3d.h"
#include "engine/ops/reduce.h"
#include "engine/ops/sigmoid_cross_entropy.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/ops/views.h"
#include "engine/random.h"
#include "engine/recompute.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

/// Sums of at most some hundred products of numbers below 1, in f32 on both sides: 300 * 2^-24 of
/// the largest, where it is not the smallest; of narrow types one unit in the last place comes on
/// top (rounding() in check.h).
constexpr double bound = 2e-5;

/// What a layer computes with in its precision: the weights w, rounded, whose gradient is f32.
Tensor rounded(const Tensor& w, const Tensor& x) {
  return x.dtype() == w.dtype() ? w : stand_in(cast(w.detach(), x.dtype()), w);
}

class GpuOps : public ::testing::TestWithParam<Dtype> {
 protected:
  GpuOps() { use_gpu(kernels::runtime_emulated, Backend::emulated); }
  Dtype type() const { return GetParam(); }
  /// 5 channels: rows have zero lanes behind them, which memory of a GPU does not begin with.
  Tensor x(uint64_t seed = 1) const { return random({2, 3, 6, 5, 5}, seed, type()); }
  Tensor wide(const Shape& shape, uint64_t seed) const { return random(shape, seed); }
};

TEST_P(GpuOps, Pointwise) {
  for (const auto f : {relu, sigmoid, engine::tanh})
    EXPECT_TRUE(matches_cpu([=](const auto& in) { return f(in[0]); }, {x()}, bound));
  EXPECT_TRUE(matches_cpu([](const auto& in) { return add(in[0], in[1]); }, {x(), x(2)}, bound));
  EXPECT_TRUE(
      matches_cpu([](const auto& in) { return multiply(in[0], in[1]); }, {x(), x(2)}, bound));
  const auto dropped = [](const auto& in) {
    const RandomScope random(7, 3);
    return dropout(in[0], 0.3);
  };
  EXPECT_TRUE(matches_cpu(dropped, {x()}, bound));
}

TEST_P(GpuOps, ConvolutionsAndProducts) {
  const auto conv = [](const auto& in) {
    return conv3d(in[0], rounded(in[1], in[0]),
                  {.stride = {1, 2, 1}, .pad_front = {1, 1, 1}, .pad_back = {1, 1, 1}},
                  {.bias = in[2], .residual = in[3], .relu = true});
  };
  EXPECT_TRUE(matches_cpu(
      conv, {x(), wide({7, 3, 3, 3, 5}, 2), wide({7}, 3), random({2, 3, 3, 5, 7}, 4, type())},
      bound));
  const auto fc = [](const auto& in) { return linear(in[0], rounded(in[1], in[0]), in[2], true); };
  EXPECT_TRUE(
      matches_cpu(fc, {random({2, 3, 9}, 1, type()), wide({7, 9}, 2), wide({7}, 3)}, bound));
}

TEST_P(GpuOps, PoolingAndNorms) {
  const Pool3dOptions windows{.kernel = {2, 3, 3}, .stride = {1, 2, 2}};
  EXPECT_TRUE(matches_cpu([&](const auto& in) { return max_pool3d(in[0], windows); }, {x()}, 0));
  EXPECT_TRUE(
      matches_cpu([&](const auto& in) { return average_pool3d(in[0], windows); }, {x()}, bound));
  for (const bool training : {true, false}) {
    const auto norm = [=](const auto& in) {
      const Device device = in[0].device();
      return batch_norm(in[0],
                        {.gamma = in[1],
                         .beta = in[2],
                         .running_mean = full({5}, 0.1, Dtype::f32, device),
                         .running_var = full({5}, 0.8, Dtype::f32, device)},
                        training, {}, {.residual = in[3], .relu = true});
    };
    EXPECT_TRUE(matches_cpu(norm, {x(), wide({5}, 2), wide({5}, 3), x(4)}, bound));
  }
  EXPECT_TRUE(matches_cpu([](const auto& in) { return layer_norm(in[0], in[1], in[2]); },
                          {x(), wide({5}, 2), wide({5}, 3)}, bound));
  EXPECT_TRUE(matches_cpu([](const auto& in) { return local_response_norm(in[0]); }, {x()}, bound));
}

TEST_P(GpuOps, Reductions) {
  EXPECT_TRUE(matches_cpu([](const auto& in) { return sum(in[0], {1, 3}); }, {x()}, bound));
  EXPECT_TRUE(matches_cpu([](const auto& in) { return mean(in[0], {-1}); }, {x()}, bound));
  EXPECT_TRUE(matches_cpu([](const auto& in) { return global_average_pool(in[0]); }, {x()}, bound));
  const Tensor square = empty({1}, Dtype::f64, Device::gpu), host = empty({1}, Dtype::f64);
  squared_norm(to_device(x(), Device::gpu), square);
  squared_norm(x(), host);
  EXPECT_NEAR(item(square), item(host), 1e-12 * item(host));  // both sum in double
}

TEST_P(GpuOps, Losses) {
  const Tensor logits = random({4, 5}, 1, type(), -3, 3);
  const auto cross = [](const auto& in) {
    return softmax_cross_entropy(in[0], in[1], {.smoothing = 0.1});
  };
  EXPECT_TRUE(matches_cpu(cross, {logits, from_vector<int64_t>({4}, {0, 4, 2, 1})}, bound));
  const auto binary = [](const auto& in) {
    return sigmoid_cross_entropy(in[0], in[1].detach(), {.smoothing = 0.1});
  };
  EXPECT_TRUE(matches_cpu(binary, {logits, random({4, 5}, 2, Dtype::f32, 0, 1)}, bound));
  EXPECT_LE(error(softmax(to_device(logits, Device::gpu)), softmax(logits)), bound);
}

/// Views copy nothing; where they are written through, lanes behind C stay zero.
TEST_P(GpuOps, Views) {
  const std::vector<Function> all = {
      [](const auto& in) { return add(slice(in[0], 1, 0, 2), slice(in[0], 1, 1, 2)); },
      [](const auto& in) { return slice(in[0], -1, 1, 3); },
      [](const auto& in) {
        return reshape(in[0], {2, 3, 30, 5, 1});
      },
      [](const auto& in) {
        return relu(reshape(in[0], {36, 5, 5, 1}));
      },
      [](const auto& in) {
        return reshape(in[0], {5, 180});
      },
      [](const auto& in) {
        return reshape(in[0], {2, 3, 6, 25});
      },
      [](const auto& in) {
        return contiguous(permute(in[0], {2, 1, 0, 3, 4}));
      },
      [](const auto& in) {
        return concat({in[0], relu(in[0])}, -1);
      },
      [](const auto& in) {
        return concat({in[0], in[0]}, 0);
      },
      [](const auto& in) { return cast(cast(in[0], Dtype::f16), Dtype::f32); },
  };
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_TRUE(matches_cpu(all[i], {x()}, bound)) << "function " << i;
}

/// Branches that write their slices of one tensor, which are joined without a copy.
TEST_P(GpuOps, Branches) {
  const auto branches = [](const auto& in) {
    const Tensor whole = empty({2, 3, 6, 5, 7}, in[0].dtype(), in[0].device());
    const Tensor front = slice(whole, -1, 0, 5), back = slice(whole, -1, 5, 2);
    const Pool3dOptions still{.kernel = {1, 1, 1}, .stride = {1, 1, 1}};
    return concat(
        {max_pool3d(in[0], still, front), conv3d(in[0], rounded(in[1], in[0]), {}, {.out = back})},
        -1);
  };
  EXPECT_TRUE(matches_cpu(branches, {x(), wide({2, 1, 1, 1, 5}, 2)}, bound));
}

TEST_P(GpuOps, Recomputed) {
  const auto segment = [](const auto& in) {
    const RandomScope random(7, 3);
    return recomputed(
        [w = in[1]](const Tensor& x) { return dropout(relu(linear(x, rounded(w, x))), 0.5); },
        in[0]);
  };
  EXPECT_TRUE(matches_cpu(segment, {random({6, 9}, 1, type()), wide({7, 9}, 2)}, bound));
}

/// The gradient goes back to where x lies.
TEST_P(GpuOps, ToDeviceIsDifferentiable) {
  const Tensor leaf = parameter(x());
  backward(relu(to_device(leaf, Device::gpu)), to_device(x(2), Device::gpu));
  const Tensor same = parameter(x());
  backward(relu(same), x(2));
  EXPECT_EQ(gradient(leaf).device(), Device::cpu);
  EXPECT_EQ(error(gradient(leaf), gradient(same)), 0);
}

INSTANTIATE_TEST_SUITE_P(Types, GpuOps, ::testing::ValuesIn(activation_types),
                         [](const auto& of) { return name_of(of.param); });

}  // namespace
}  // namespace kinema::test
