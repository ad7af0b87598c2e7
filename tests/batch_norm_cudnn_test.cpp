// labels: ci, cudnn, driver
#include <gtest/gtest.h>
#include <functional>
#include "kernels/batch_norm/batch_norm_cases.h"
#include "kernels/batch_norm/batch_norm_cudnn_layer.h"
#include "kernels/cudnn/lanes.h"
#include "kernels/cudnn/nvidia_libraries.h"

// Batch normalisation by cuDNN: plans for an H200 that is not at hand become final, and what is
// refused is so before any GPU is looked for.

namespace kinema::test {
namespace {

using namespace kernels;
using kernels::cudnn::NormLayer, kernels::cudnn::NormPass, kernels::cudnn::Target;

class BatchNormCudnn : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = nvidia_libraries().front().missing;
    if (!missing.empty()) GTEST_SKIP() << missing;
  }
};

struct Variant {
  NormPass pass;
  bool relu, residual;
};
constexpr Variant variants[] = {
    {NormPass::train_forward, false, false}, {NormPass::train_forward, true, false},
    {NormPass::train_forward, true, true},   {NormPass::infer_forward, false, false},
    {NormPass::infer_forward, true, false},  {NormPass::infer_forward, false, true},
    {NormPass::infer_forward, true, true},   {NormPass::train_grad, false, false},
    {NormPass::train_grad, true, false}};

NormLayer layer(const Variant& v, const Shape& shape, Dtype type) {
  const View x[] = {fresh_layout(type, shape)};
  NormLayer l = norm_layer(v.pass, x);
  l.relu = v.relu;
  l.residual = v.residual;
  return l;
}

size_t plans(const NormLayer& l) {
  static const Target target("bench/h200_device.json");
  return plans_of(l, target, 1).size();
}

/// Every pass has a plan in every type, and every case one, by turns, since each takes a
/// compilation.
TEST_F(BatchNormCudnn, CasesHaveAPlan) {
  for (const Dtype type : {Dtype::f32, Dtype::bf16, Dtype::f16})
    for (const Variant& v : variants)
      EXPECT_EQ(plans(layer(v, {2, 2, 5, 7, 45}, type)), 1u)
          << type << " pass " << int(v.pass) << (v.relu ? " ReLU" : "")
          << (v.residual ? " residual" : "");
  size_t turn = 0;
  for (const BatchNormCase& c : batch_norm_cases) {
    // Frames: their rows are no multiple of 16 bytes.
    if (!c.x.size() || (c.x.rank == 5 && c.x[4] <= 4)) continue;
    const Variant& v = variants[turn++ % std::size(variants)];
    EXPECT_EQ(plans(layer(v, c.x, turn % 2 ? Dtype::bf16 : Dtype::f32)), 1u)
        << c.x << " pass " << int(v.pass);
  }
  EXPECT_GE(turn, std::size(variants));
}

/// Which cuDNN has not: the pass says so, as the policy needs it.
TEST_F(BatchNormCudnn, SomeHaveNone) {
  EXPECT_EQ(plans(layer({NormPass::train_forward, false, true}, {6, 16}, Dtype::f32)), 0u);
  EXPECT_EQ(plans(layer(variants[0], {1, 2, 4, 4, 3}, Dtype::f32)), 0u);
  EXPECT_EQ(batch_norm_cudnn.statistics, nullptr);
  EXPECT_EQ(batch_norm_cudnn.infer_grad, nullptr);
}

/// Rows of 45 channels lie 48 apart, and are shown as of 48; the least alignment counts.
TEST_F(BatchNormCudnn, ZeroLanesAreChannels) {
  alignas(16) char memory[32];
  View tensors[] = {fresh_layout(Dtype::bf16, {2, 3, 4, 2, 45}), {}, {}};
  tensors[1] = tensors[0];
  tensors[0].data = memory;
  tensors[1].data = memory + 4;
  const NormLayer five = norm_layer(NormPass::train_grad, tensors);
  EXPECT_EQ(five.x.size, (std::array<int64_t, 5>{2, 48, 3, 4, 2}));
  EXPECT_EQ(five.x.alignment, 4);
  const View rows[] = {fresh_layout(Dtype::f32, {3, 11, 6})};
  const NormLayer three = norm_layer(NormPass::train_grad, rows);
  EXPECT_EQ(three.x.size, (std::array<int64_t, 5>{3, 8, 1, 1, 11}));
  EXPECT_EQ(three.x.stride, (std::array<int64_t, 5>{88, 1, 88, 88, 8}));
}

void expect_unsupported(const std::function<void()>& f, const std::string& text) {
  try {
    f();
    FAIL() << "expected: " << text;
  } catch (const Unsupported& e) {
    EXPECT_EQ(e.what(), text);
  }
}

TEST_F(BatchNormCudnn, RefusesInOneSentence) {
  const View slice = fresh_layout(Dtype::f32, {6, 16}).slice(1, 0, 8),
             x = fresh_layout(Dtype::f32, {6, 8}), c = fresh_layout(Dtype::f32, {8});
  const std::string gaps =
      "batch_norm: cudnn takes tensors without gaps whose rows have equal lanes, got f32 [6,8] "
      "with 0 lanes and rows 16 apart; use --backend batch_norm=cuda";
  const BatchNormParameters p{c, c, c, c};
  const BatchNormKept kept{x, c, c, c, c, {}, false};
  expect_unsupported(
      [&] {
        batch_norm_cudnn.train_forward({}, {}, slice, p, {}, x, {c, c});
      },
      gaps);
  expect_unsupported(
      [&] {
        batch_norm_cudnn.infer_forward({}, {}, x, p, {slice}, x, {c, c});
      },
      gaps);
  expect_unsupported(
      [&] {
        batch_norm_cudnn.train_grad({}, kept, slice, {{x}, {}, {}, {}});
      },
      gaps);
  const View large = fresh_layout(Dtype::f32, {1 << 22, 8});
  expect_unsupported(
      [&] {
        batch_norm_cudnn.train_grad({}, {large, c, c, c, c, {}, false}, large,
                                    {{large, true}, {}, {}, {}});
      },
      "batch_norm: cudnn needs more than 64 MB to mask dy, or to add to dx; use --backend "
      "batch_norm=cuda");
}

}  // namespace
}  // namespace kinema::test
