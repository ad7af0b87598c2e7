#include "kernels/lerp/lerp.h"
#include "kernels/lerp/lerp_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

/// One difference, one product and one sum in f32, times 2.
constexpr double bound = 6 * f32_epsilon;

std::vector<Trial> make(const Request& r) {
  using Case = kernels::LerpCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  const Dtype type = dtype_of(r.precision);
  for (const Shape& x : shapes_of(r, "lerp", kernels::lerp_cases, &Case::x))
    all.push_back(Trial{.pass = "towards",
                        .precision = r.precision,
                        .shape = word_of("x", x),
                        .reason = "three operations in f32"}
                      .reads("t", {1}, Dtype::f64, 0.2, 0.8)
                      .reads("x", x, type)
                      .updates("y", x, type, bound)
                      .runs(&kernels::Lerp::towards,
                            [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], v[2]); }));
  return all;
}

}  // namespace

extern const Trials lerp_trial;
const Trials lerp_trial = {"lerp", constant_of<kernels::lerp>, make};

}  // namespace kinema::tools::compare
