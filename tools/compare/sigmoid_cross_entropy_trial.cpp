#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using Op = kernels::SigmoidCrossEntropy;

/// Exponential, logarithm and quotient are good to 2 units each, a product and two differences
/// follow, and a tree of sums. Times 2; held against the largest gradient.
constexpr double bound = 20 * f32_epsilon;

void add(const Request& r, const Shape& x, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const Shape one{1};
  const auto pass = [&](const char* name) {
    return Trial{
        .pass = name,
        .precision = r.precision,
        .shape = word_of("x", x),
        .reason = "exponential, logarithm, quotient good to 2 units, a tree of sums in f32"}
        .reads("logits", x, type, -3, 3)
        .reads("targets", x, Dtype::f32, 0, 1);
  };
  all.push_back(pass("forward")
                    .writes("loss", one, Dtype::f32, bound)
                    .runs(&Op::forward,
                          [](auto f, Stream s, const Views& v) { f(s, {}, v[0], v[1], v[2]); }));
  all.push_back(pass("grad")
                    .reads("dloss", one, Dtype::f32, 0.5, 1.5)
                    .writes("dlogits", x, type, bound)
                    .runs(&Op::grad, [](auto f, Stream s, const Views& v) {
                      f(s, {}, v[0], v[1], v[2], v[3], false);
                    }));
  all.push_back(pass("forward_grad")
                    .reads("dloss", one, Dtype::f32, 0.5, 1.5)
                    .writes("loss", one, Dtype::f32, bound)
                    .writes("dlogits", x, type, bound)
                    .runs(&Op::forward_grad, [](auto f, Stream s, const Views& v) {
                      f(s, {}, v[0], v[1], v[2], v[3], v[4], false);
                    }));
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::SigmoidCrossEntropyCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& x : shapes_of(r, "sigmoid_cross_entropy", kernels::sigmoid_cross_entropy_cases,
                                  &Case::x, "x", 2))
    add(r, x, all);
  return all;
}

}  // namespace

extern const Trials sigmoid_cross_entropy_trial;
const Trials sigmoid_cross_entropy_trial = {"sigmoid_cross_entropy",
                                            constant_of<kernels::sigmoid_cross_entropy>, make};

}  // namespace kinema::tools::compare
