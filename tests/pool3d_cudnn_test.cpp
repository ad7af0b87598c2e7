// labels: ci, cudnn, driver
#include <gtest/gtest.h>
#include <functional>
#include <optional>
#include "kernels/cudnn/lanes.h"
#include "kernels/cudnn/nvidia_libraries.h"
#include "kernels/linear/linear.h"
#include "kernels/local_response_norm/local_response_norm.h"
#include "kernels/pool3d/pool3d_cases.h"
#include "kernels/pool3d/pool3d_cudnn_layer.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

// Pooling by cuDNN: plans for an H200 that is not at hand become final. And what the libraries'
// other operations refuse, which takes no GPU either.

namespace kinema::test {
namespace {

using namespace kernels;
using kernels::cudnn::PoolPass, kernels::cudnn::Target;

constexpr PoolPass passes[] = {PoolPass::max_forward, PoolPass::max_grad, PoolPass::average_forward,
                               PoolPass::average_grad};

class LibrariesWithoutGpu : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = nvidia_libraries().front().missing;
    if (!missing.empty()) GTEST_SKIP() << missing;
  }
};

void expect_unsupported(const std::function<void()>& f, const std::string& text) {
  try {
    f();
    FAIL() << "expected: " << text;
  } catch (const Unsupported& e) {
    EXPECT_EQ(e.what(), text);
  }
}

cudnn::PoolLayer fresh_layer(PoolPass pass, const Pool3dOptions& o, const Shape& x, Dtype type) {
  const View from = cudnn::widened(fresh_layout(type, x)),
             to = cudnn::widened(fresh_layout(type, pool3d_output(o, x)));
  const bool max = pass == PoolPass::max_forward || pass == PoolPass::max_grad;
  return cudnn::layer_of(pass, o, from, to, max);
}

/// Of each case two passes, of types by turns, since every plan takes a compilation: windows of
/// every kind, paddings that differ, ceil mode, taps of one byte and of four.
TEST_F(LibrariesWithoutGpu, PoolsOfAllCasesHaveAPlan) {
  const Target target("bench/h200_device.json");
  int turn = 0, plans = 0;
  for (const Pool3dCase& c : pool3d_cases) {
    const Shape y = pool3d_output(c.options, c.x);
    if (!y.size() || !cudnn::is_dense(cudnn::widened(fresh_layout(Dtype::f32, c.x)))) continue;
    const auto& k = c.options.kernel;
    // Seen: it has no gradient of windows that are larger than a frame.
    const bool large = k[0] > c.x[1] || k[1] > c.x[2] || k[2] > c.x[3];
    for (int i = 0; i < 2; ++i) {
      const PoolPass pass = passes[++turn % 4];
      const bool average = pass >= PoolPass::average_forward;
      if (large || (average && c.options.ceil_mode && c.options.count_padding)) continue;
      const auto layer = fresh_layer(pass, c.options, c.x, turn % 3 ? Dtype::f32 : Dtype::bf16);
      EXPECT_EQ(plans_of(layer, target, 1).size(), 1u) << c.x << " pass " << int(pass);
      ++plans;
    }
  }
  EXPECT_GE(plans, 15);
}

TEST_F(LibrariesWithoutGpu, CeilModeIsPadding) {
  const Pool3dOptions o{.kernel = {2, 2, 2}, .ceil_mode = true};
  const Shape x{2, 3, 5, 8, 5};
  EXPECT_EQ(fresh_layer(PoolPass::max_forward, o, x, Dtype::f32).back,
            (std::array<int64_t, 3>{1, 1, 0}));
  expect_unsupported(
      [&] { fresh_layer(PoolPass::average_grad, o, x, Dtype::f32); },
      "pool3d: cudnn counts all of a window that reaches beyond the padding (ceil_mode), not what "
      "of it is padding; use --backend pool3d=cuda");
}

TEST_F(LibrariesWithoutGpu, RefuseInOneSentence) {
  const View slice = fresh_layout(Dtype::f32, {1, 2, 4, 4, 16}).slice(4, 0, 8),
             pooled = fresh_layout(Dtype::f32, {1, 2, 2, 2, 8});
  expect_unsupported(
      [&] {
        pool3d_cudnn.average_forward({}, {.kernel = {1, 2, 2}}, slice, pooled);
      },
      "pool3d: cudnn takes tensors without gaps, got f32 [1,2,4,4,8] whose pixels lie 16 apart; "
      "use --backend pool3d=cuda");
  const View x = fresh_layout(Dtype::f32, {3, 40}), half = fresh_layout(Dtype::bf16, {3, 40});
  expect_unsupported([&] { local_response_norm_cudnn.forward({}, {.n = 17}, x, x); },
                     "local_response_norm: cudnn takes windows of at most 16 channels; use "
                     "--backend local_response_norm=cuda");
  expect_unsupported([&] { local_response_norm_cudnn.forward({}, {.beta = 0}, x, x); },
                     "local_response_norm: cudnn takes a beta of at least 0.01; use --backend "
                     "local_response_norm=cuda");
  expect_unsupported([&] { softmax_cross_entropy_cudnn.softmax({}, half, x); },
                     "softmax: cudnn takes f32 alone, got bf16; use --backend "
                     "softmax_cross_entropy=cuda");
  EXPECT_EQ(softmax_cross_entropy_cudnn.forward, nullptr);
}

}  // namespace
}  // namespace kinema::test
