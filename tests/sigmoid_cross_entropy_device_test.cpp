#include <cmath>
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::SigmoidCrossEntropy;

constexpr Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};

/// Exponential, logarithm and quotient are good to 2 units each, a product and two differences
/// follow, and a tree of sums. Times 2; held against the largest gradient.
const double bound = 20 * epsilon_of(Dtype::f32);

struct Batch {
  Batch(const Shape& shape, Dtype type, Layout layout = Layout::fresh)
      : x(random_array(shape, type, 1, -4, 4, layout)),
        targets(random_array(shape, Dtype::f32, 2, 0, 1, layout)),
        loss({1}, Dtype::f32),
        dloss(filled_array({1}, Dtype::f32, {1.5})),
        dlogits(shape, type, layout) {}
  Array x, targets, loss, dloss, dlogits;
};

/// What the program is linked with.
const SigmoidCrossEntropy& op_here() {
  return device_runs().front().backend == Backend::cuda ? kernels::sigmoid_cross_entropy_cuda
                                                        : kernels::sigmoid_cross_entropy_emulated;
}

template <class F>
void expect_pass(const std::vector<Array>& arrays, const std::vector<double>& bounds,
                 const std::string& name, const F& call) {
  const auto pass = [&](const SigmoidCrossEntropy& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) { call(op, s, v); };
  };
  expect_op_matches(kernels::sigmoid_cross_entropy_reference, &kernels::sigmoid_cross_entropy_cuda,
                    &kernels::sigmoid_cross_entropy_emulated, arrays, pass, bounds,
                    "sigmoid_cross_entropy." + name);
}

/// All three passes.
void expect_agreement(Batch b, double smoothing, bool accumulate) {
  if (accumulate) b.dlogits = b.x.clone();
  expect_pass({b.x, b.targets, b.loss}, {input, input, bound}, "forward",
              [=](const SigmoidCrossEntropy& op, Stream s, const std::vector<View>& v) {
                op.forward(s, {smoothing}, v[0], v[1], v[2]);
              });
  expect_pass({b.x, b.targets, b.dloss, b.dlogits}, {input, input, input, bound}, "grad",
              [=](const SigmoidCrossEntropy& op, Stream s, const std::vector<View>& v) {
                op.grad(s, {smoothing}, v[0], v[1], v[2], v[3], accumulate);
              });
  expect_pass({b.x, b.targets, b.dloss, b.loss, b.dlogits}, {input, input, input, bound, bound},
              "forward_grad",
              [=](const SigmoidCrossEntropy& op, Stream s, const std::vector<View>& v) {
                op.forward_grad(s, {smoothing}, v[0], v[1], v[2], v[3], v[4], accumulate);
              });
}

TEST(SigmoidCrossEntropyDevice, EveryPassAgreesWithTheReference) {
  // More rows than the grid takes at once; a row that takes a block several rounds.
  std::vector<Shape> shapes{{6400, 2}, {2, 4500}};
  for (const auto& c : kernels::sigmoid_cross_entropy_cases)
    if (std::string(c.tag) == "ci") shapes.push_back(c.x);
  for (const Shape& shape : shapes)
    for (Dtype type : device_types)
      for (Layout layout : layouts) {
        const bool odd = layout == Layout::odd_slice || layout == Layout::strided;
        if (shape.size() > 4000 && layout != Layout::fresh && layout != Layout::odd_slice) continue;
        expect_agreement(Batch(shape, type, layout), odd ? 0.1 : 0, !odd);
      }
}

/// Right answers with much certainty lose next to nothing, and just that is right too.
TEST(SigmoidCrossEntropyDevice, ExtremesAreAsInTheReference) {
  for (const std::vector<double>& logits :
       {std::vector<double>{1e4, -1e4}, {-1e4, 1e4}, {20, -20}, {NAN, 0}, {3e38, -3e38}}) {
    Batch b({1, 2}, Dtype::f32);
    b.x.set(logits);
    b.targets.set({1, 0});
    expect_agreement(b, 0, false);
  }
}

TEST(SigmoidCrossEntropyDevice, MovesEachByteOnce) {
  const Batch b({700, 160}, Dtype::bf16);
  const int64_t elements = b.x.view.size();
  const SigmoidCrossEntropy& op = op_here();
  expect_traffic(
      {b.x, b.targets, b.dloss, b.loss, b.dlogits},
      [&](Stream s, const std::vector<View>& v) {
        op.forward_grad(s, {0.1}, v[0], v[1], v[2], v[3], v[4], false);
      },
      {.read = 6 * elements, .written = 2 * elements}, "sigmoid_cross_entropy.forward_grad");
}

TEST(SigmoidCrossEntropyDevice, RefusesWhatDoesNotFit) {
  const Batch b({2, 3}, Dtype::f32);
  const SigmoidCrossEntropy& op = op_here();
  EXPECT_EQ(refusal_of([&] { op.forward({}, {}, b.x.view, b.loss.view, b.loss.view); }),
            "sigmoid_cross_entropy: the targets must be f32 [2,3], got f32 [1]");
}

TEST(SigmoidCrossEntropyDevice, ZeroesTailsThatElementsDoNotReach) {
  for (Dtype type : device_types) {
    Batch b({7, 45}, type, Layout::odd_slice);
    b.dlogits = Array({7, 45}, type);
    expect_agreement(b, 0.1, false);
  }
}

}  // namespace
}  // namespace kinema::test
