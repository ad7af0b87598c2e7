#include "kernels/layer_norm/layer_norm.h"
#include "kernels/layer_norm/layer_norm_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::LayerNorm;

/// Sums in f32 are trees, over a row or over what each group adds up of its rows: they round as
/// often as these have levels. What follows, rstd and a handful of products and differences, rounds
/// as often again. Times 2; dx subtracts three such terms.
constexpr double forward_bound = 8 * f32_epsilon, grad_bound = 24 * f32_epsilon;

void add(const Request& r, const Shape& x, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const Shape c{x[-1]}, rows{kernels::layer_norm_rows({.shape = x})};
  // Rows of two or three leave a difference that is rounding alone but for a share of eps.
  const kernels::LayerNormOptions o{.eps = x[-1] < 4 ? 0.1 : 1e-5};
  const Trial t{.precision = r.precision,
                .shape = word_of("x", x),
                .reason = "sums in f32 as trees, then a handful of roundings"};
  Trial forward = t, grad = t;
  forward.pass = "forward";
  all.push_back(forward.reads("x", x, type, 0, 2)
                    .reads("gamma", c, Dtype::f32, 0.5, 2)
                    .reads("beta", c, Dtype::f32)
                    .writes("y", x, type, forward_bound)
                    .writes("mean", rows, Dtype::f32, forward_bound)
                    .writes("rstd", rows, Dtype::f32, forward_bound)
                    .runs(&LayerNorm::forward, [o](auto f, Stream s, const Views& v) {
                      f(s, o, v[0], {v[1], v[2]}, v[3], {v[4], v[5]});
                    }));
  grad.pass = "grad";
  all.push_back(grad.reads("x", x, type, 0, 2)
                    .reads("gamma", c, Dtype::f32, 0.5, 2)
                    .reads("mean", rows, Dtype::f32, 0.8, 1.2)
                    .reads("rstd", rows, Dtype::f32, 1, 2)
                    .reads("dy", x, type)
                    .writes("dx", x, type, grad_bound)
                    .writes("dgamma", c, Dtype::f32, grad_bound)
                    .writes("dbeta", c, Dtype::f32, grad_bound)
                    .runs(&LayerNorm::grad, [](auto f, Stream s, const Views& v) {
                      f(s, {v[0], v[1], v[2], v[3]}, v[4], {{v[5]}, {v[6]}, {v[7]}});
                    }));
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::LayerNormCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& x : shapes_of(r, "layer_norm", kernels::layer_norm_cases, &Case::x))
    add(r, x, all);
  return all;
}

}  // namespace

extern const Trials layer_norm_trial;
const Trials layer_norm_trial = {"layer_norm", constant_of<kernels::layer_norm>, make};

}  // namespace kinema::tools::compare
