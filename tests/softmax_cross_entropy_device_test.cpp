#include <cmath>
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy_cases.h"
#include "tests/support/device_check.h"
#include "tests/support/library_check.h"

namespace kinema::test {
namespace {

using kernels::size_of, kernels::SoftmaxCrossEntropy, kernels::SoftmaxCrossEntropyOptions;

constexpr Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Exponential and logarithm are good to 2 units, the trees of their sums round by 2 more, then
/// come a division, a product and a difference. Times 2. The largest probability is what all are
/// held against, the largest gradient what gradients are.
const double bound = 16 * epsilon_of(Dtype::f32);

/// A batch with a label for each row, and room for what passes write.
struct Batch {
  Batch(const Shape& shape, Dtype type, Layout layout = Layout::fresh)
      : x(random_array(shape, type, 1, -4, 4, layout)),
        labels(filled_array({shape[0]}, Dtype::i64, label_values(shape))),
        loss({1}, Dtype::f32),
        dloss(filled_array({1}, Dtype::f32, {1.5})),
        p(shape, Dtype::f32, layout),
        dlogits(shape, type, layout) {}
  static std::vector<double> label_values(const Shape& shape) {
    std::vector<double> values;
    for (int64_t n = 0; n < shape[0]; ++n) values.push_back(double((n * 5 + 3) % shape[1]));
    return values;
  }
  Array x, labels, loss, dloss, p, dlogits;
};

/// What the program is linked with.
const SoftmaxCrossEntropy& op_here() {
  return device_runs().front().backend == Backend::cuda ? kernels::softmax_cross_entropy_cuda
                                                        : kernels::softmax_cross_entropy_emulated;
}

template <class F>
void expect_pass(const std::vector<Array>& arrays, const std::vector<double>& bounds,
                 const std::string& name, const F& call) {
  const auto pass = [&](const SoftmaxCrossEntropy& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) { call(op, s, v); };
  };
  expect_op_matches(kernels::softmax_cross_entropy_reference, &kernels::softmax_cross_entropy_cuda,
                    &kernels::softmax_cross_entropy_emulated, arrays, pass, bounds, name);
}

void expect_forward(const Batch& b, double smoothing, bool with_p) {
  expect_pass({b.x, b.labels, b.loss, b.p}, {input, input, bound, with_p ? bound : input},
              "softmax_cross_entropy.forward",
              [=](const SoftmaxCrossEntropy& op, Stream s, const std::vector<View>& v) {
                op.forward(s, {smoothing}, v[0], v[1], v[2], with_p ? v[3] : View{});
              });
}

void expect_grad(Batch b, double smoothing, bool accumulate) {
  kernels::softmax_cross_entropy_reference.softmax({}, b.x.view, b.p.view);
  if (accumulate) b.dlogits = b.x;
  expect_pass({b.p, b.labels, b.dloss, b.dlogits}, {input, input, input, bound},
              "softmax_cross_entropy.grad",
              [=](const SoftmaxCrossEntropy& op, Stream s, const std::vector<View>& v) {
                op.grad(s, {smoothing}, v[0], v[1], v[2], v[3], accumulate);
              });
}

void expect_forward_grad(Batch b, double smoothing, bool accumulate) {
  if (accumulate) b.dlogits = b.x.clone();
  expect_pass({b.x, b.labels, b.dloss, b.loss, b.dlogits}, {input, input, input, bound, bound},
              "softmax_cross_entropy.forward_grad",
              [=](const SoftmaxCrossEntropy& op, Stream s, const std::vector<View>& v) {
                op.forward_grad(s, {smoothing}, v[0], v[1], v[2], v[3], v[4], accumulate);
              });
}

void expect_softmax(const Array& x, const Array& p) {
  const auto call = [](const SoftmaxCrossEntropy& op, Stream s, const std::vector<View>& v) {
    op.softmax(s, v[0], v[1]);
  };
  expect_pass({x, p}, {input, bound}, "softmax", call);
  const auto pass = [&](const SoftmaxCrossEntropy& op) -> Pass {
    return [&](Stream s, const std::vector<View>& v) { call(op, s, v); };
  };
  const auto* library = &kernels::softmax_cross_entropy_cudnn;
  const bool offered = expect_library_matches(kernels::softmax_cross_entropy_reference, library,
                                              {x, p}, pass, {input, bound}, "softmax");
  // Frames of at most 4 channels, whose rows are padded, have no one pitch.
  EXPECT_TRUE(offered || x.view.dtype != Dtype::f32 || x.view.shape.rank > 4 ||
              !has_library(library))
      << x.view.shape;
}

/// Cases of the tests; more rows than the grid takes at once; rows that no block holds, one by one
/// and in packs.
std::vector<Shape> shapes() {
  std::vector<Shape> all{{4500, 3}, {2, 2060}, {2, 4100}};
  for (const auto& c : kernels::softmax_cross_entropy_cases)
    if (std::string(c.tag) == "ci") all.push_back(c.x);
  return all;
}

TEST(SoftmaxCrossEntropyDevice, EveryPassAgreesWithTheReference) {
  for (const Shape& shape : shapes())
    for (Dtype type : device_types)
      for (Layout layout : layouts) {
        const bool odd = layout == Layout::odd_slice || layout == Layout::strided;
        if (shape.size() > 4000 && layout != Layout::fresh && layout != Layout::odd_slice) continue;
        const Batch b(shape, type, layout);
        expect_forward(b, odd ? 0.1 : 0, layout != Layout::slice);
        expect_grad(b, odd ? 0 : 0.1, odd);
        expect_forward_grad(b, odd ? 1 : 0.1, !odd);
      }
}

TEST(SoftmaxCrossEntropyDevice, SoftmaxTakesAnyRank) {
  for (const Shape& shape :
       {Shape{5}, {0, 3}, {3, 0}, {2, 3, 4, 5, 3}, {2, 1, 3, 1, 45}, {1, 100003}}) {
    if (small() && shape.size() > 100000) continue;
    for (Dtype type : device_types)
      expect_softmax(random_array(shape, type, 1, -4, 4), Array(shape, Dtype::f32));
  }
}

/// Large logits, classes that are ruled out, in the first packs too, and NaN: held rows and rows
/// that are not.
TEST(SoftmaxCrossEntropyDevice, ExtremesAreAsInTheReference) {
  for (int64_t classes : {7, 4100}) {
    const auto row = [&](double first, double middle, double last) {
      std::vector<double> values;
      for (int64_t k = 0; k < classes; ++k)
        values.push_back(k == 0 ? first : k == classes - 1 ? last : middle);
      return values;
    };
    for (const auto& values : {row(1e4, 0, -1e4), row(-1e30, 0, 3e34), row(0, -infinity, 0),
                               row(-infinity, -infinity, 1), row(1, NAN, 2),
                               row(-infinity, -infinity, -infinity), row(infinity, 0, 1)})
      for (double smoothing : {0., 0.1}) {
        Batch b({1, classes}, Dtype::f32);
        b.x.set(values);
        b.labels.set({double(classes - 1)});
        expect_forward(b, smoothing, true);
        expect_forward_grad(b, smoothing, false);
      }
  }
}

TEST(SoftmaxCrossEntropyDevice, ALabelThatIsNoClassMakesNaN) {
  for (double label : {-1., 12.}) {
    Batch b({3, 12}, Dtype::f32);
    b.labels.set({4, label, 0});
    b.p = random_array({3, 12}, Dtype::f32, 1, 0, 1);
    for (const DeviceRun& run : device_runs()) {
      const SoftmaxCrossEntropy& op = op_here();
      const auto got = on_device(run, {b.x, b.labels, b.dloss, b.loss, b.dlogits, b.p, b.dlogits},
                                 [&](Stream s, const std::vector<View>& v) {
                                   op.forward_grad(s, {}, v[0], v[1], v[2], v[3], v[4], false);
                                   op.grad(s, {}, v[5], v[1], v[2], v[6], false);
                                 });
      EXPECT_TRUE(std::isnan(got[3].values()[0])) << run.name;
      for (size_t i : {4u, 6u})
        for (size_t k = 0; k < 36; ++k)
          EXPECT_EQ(std::isnan(got[i].values()[k]), k / 12 == 1) << run.name << " " << k;
    }
  }
}

TEST(SoftmaxCrossEntropyDevice, MovesEachByteOnce) {
  const Batch b({900, 96}, Dtype::bf16);
  const int64_t elements = b.x.view.size(), labels = 900 * 8;
  const SoftmaxCrossEntropy& op = op_here();
  expect_traffic(
      {b.x, b.labels, b.loss, b.p},
      [&](Stream s, const std::vector<View>& v) { op.forward(s, {}, v[0], v[1], v[2], v[3]); },
      {.read = 2 * elements + labels, .written = 4 * elements}, "softmax_cross_entropy.forward");
  expect_traffic(
      {b.x, b.labels, b.dloss, b.loss, b.dlogits},
      [&](Stream s, const std::vector<View>& v) {
        op.forward_grad(s, {0.1}, v[0], v[1], v[2], v[3], v[4], false);
      },
      {.read = 2 * elements + labels, .written = 2 * elements},
      "softmax_cross_entropy.forward_grad");
  expect_traffic(
      {b.p, b.labels, b.dloss, b.dlogits},
      [&](Stream s, const std::vector<View>& v) { op.grad(s, {}, v[0], v[1], v[2], v[3], true); },
      {.read = 6 * elements + labels, .written = 2 * elements}, "softmax_cross_entropy.grad");
}

TEST(SoftmaxCrossEntropyDevice, RefusesWhatDoesNotFit) {
  const Batch b({2, 3}, Dtype::f32);
  const SoftmaxCrossEntropy& op = op_here();
  EXPECT_EQ(refusal_of([&] { op.forward({}, {}, b.x.view, b.loss.view, b.loss.view, {}); }),
            "softmax_cross_entropy: labels must be i64 [2], got f32 [1]");
  EXPECT_EQ(refusal_of([&] { op.softmax({}, b.x.view, b.loss.view); }),
            "softmax: p must be [2,3], got [1]");
}

TEST(SoftmaxCrossEntropyDevice, ZeroesTailsThatElementsDoNotReach) {
  for (Dtype type : device_types) {
    Batch b({7, 45}, type, Layout::odd_slice);
    b.dlogits = Array({7, 45}, type);
    expect_grad(b, 0.1, false);
    expect_forward_grad(b, 0.1, false);
    b.p = Array({7, 45}, Dtype::f32);
    expect_forward(b, 0.1, true);
    expect_softmax(b.x, b.p);
  }
}

}  // namespace
}  // namespace kinema::test
