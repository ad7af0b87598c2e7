#include "kernels/pointwise/pointwise.h"
#include "kernels/pointwise/pointwise_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::Pointwise, kernels::Unary;

/// sigmoid and tanh err by 3 units in the last place, what follows rounds twice more; times 2.
constexpr double bound = 10 * f32_epsilon;

void add(const Request& r, const Shape& x, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const auto pass = [&](const std::string& name) {
    return Trial{.pass = name,
                 .precision = r.precision,
                 .shape = word_of("x", x),
                 .reason = "functions good to 3 units in f32, then two roundings"}
        .reads("x", x, type);
  };
  for (Unary u : {Unary::relu, Unary::sigmoid, Unary::tanh}) {
    all.push_back(pass(name_of(u))
                      .writes("y", x, type, bound)
                      .runs(&Pointwise::forward,
                            [u](auto f, Stream s, const Views& v) { f(s, u, v[0], v[1]); }));
    all.push_back(pass(name_of(u) + std::string("_grad"))
                      .reads("dy", x, type)
                      .writes("dx", x, type, bound)
                      .runs(&Pointwise::grad, [u](auto f, Stream s, const Views& v) {
                        f(s, u, v[0], v[1], v[2], false);
                      }));
  }
  all.push_back(
      pass("add")
          .reads("b", x, type)
          .writes("y", x, type, bound)
          .runs(&Pointwise::add, [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], v[2]); }));
  all.push_back(pass("multiply")
                    .reads("b", x, type)
                    .updates("y", x, type, bound)
                    .runs(&Pointwise::multiply,
                          [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], v[2], true); }));
  all.push_back(pass("scale")
                    .writes("y", x, type, bound)
                    .runs(&Pointwise::scale,
                          [](auto f, Stream s, const Views& v) { f(s, 0.3, v[0], v[1]); }));
  all.push_back(pass("dropout")
                    .reads("step", {1}, Dtype::i64, 7, 8)
                    .writes("y", x, type, bound)
                    .runs(&Pointwise::dropout, [](auto f, Stream s, const Views& v) {
                      f(s, {.p = 0.5, .seed = 1, .place = 2, .call = 0}, v[1], v[0], v[2], false);
                    }));
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::PointwiseCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& x : shapes_of(r, "pointwise", kernels::pointwise_cases, &Case::x))
    add(r, x, all);
  return all;
}

}  // namespace

extern const Trials pointwise_trial;
const Trials pointwise_trial = {"pointwise", constant_of<kernels::pointwise>, make};

}  // namespace kinema::tools::compare
