#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using Op = kernels::SoftmaxCrossEntropy;

/// Exponential and logarithm are good to 2 units, the trees of their sums round by 2 more, then
/// come a division, a product and a difference. Times 2.
constexpr double bound = 16 * f32_epsilon;

void add(const Request& r, const Shape& x, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const Shape rows{x[0]}, one{1};
  const auto classes = double(x[1]);
  const auto pass = [&](const char* name) {
    return Trial{.pass = name,
                 .precision = r.precision,
                 .shape = word_of("x", x),
                 .reason = "exponentials good to 2 units, trees of sums in f32"};
  };
  all.push_back(pass("forward")
                    .reads("logits", x, type, -3, 3)
                    .reads("labels", rows, Dtype::i64, 0, classes)
                    .writes("loss", one, Dtype::f32, bound)
                    .writes("p", x, Dtype::f32, bound)
                    .runs(&Op::forward, [](auto f, Stream s, const Views& v) {
                      f(s, {}, v[0], v[1], v[2], v[3]);
                    }));
  all.push_back(pass("grad")
                    .reads("p", x, Dtype::f32, 0, 1)
                    .reads("labels", rows, Dtype::i64, 0, classes)
                    .reads("dloss", one, Dtype::f32, 0.5, 1.5)
                    .writes("dlogits", x, type, bound)
                    .runs(&Op::grad, [](auto f, Stream s, const Views& v) {
                      f(s, {}, v[0], v[1], v[2], v[3], false);
                    }));
  all.push_back(pass("forward_grad")
                    .reads("logits", x, type, -3, 3)
                    .reads("labels", rows, Dtype::i64, 0, classes)
                    .reads("dloss", one, Dtype::f32, 0.5, 1.5)
                    .writes("loss", one, Dtype::f32, bound)
                    .writes("dlogits", x, type, bound)
                    .runs(&Op::forward_grad, [](auto f, Stream s, const Views& v) {
                      f(s, {}, v[0], v[1], v[2], v[3], v[4], false);
                    }));
  all.push_back(
      pass("softmax")
          .reads("x", x, type, -3, 3)
          .writes("p", x, Dtype::f32, bound)
          .runs(&Op::softmax, [](auto f, Stream s, const Views& v) { f(s, v[0], v[1]); }));
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::SoftmaxCrossEntropyCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& x : shapes_of(r, "softmax_cross_entropy", kernels::softmax_cross_entropy_cases,
                                  &Case::x, "x", 2))
    add(r, x, all);
  return all;
}

}  // namespace

extern const Trials softmax_cross_entropy_trial;
const Trials softmax_cross_entropy_trial = {"softmax_cross_entropy",
                                            constant_of<kernels::softmax_cross_entropy>, make};

}  // namespace kinema::tools::compare
