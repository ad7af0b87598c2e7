#include <cmath>
#include "kernels/linear/linear.h"
#include "kernels/linear/linear_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::Linear, kernels::LinearCase;

/// As conv3d's: products of narrow types are exact in f32; sums of n random terms stray from the
/// largest like the root of n, those of 13824 by 4e-6.
double bound_of(int64_t terms) { return 1e-5 * std::max(1.0, std::sqrt(double(terms) / 13824)); }

Trial pass(const Request& r, const char* name, const LinearCase& c, int64_t terms) {
  return {.pass = name,
          .precision = r.precision,
          .shape = word_of("x", Shape{c.rows, c.in}) + " " + word_of("w", Shape{c.out, c.in}),
          .reason = "sums of " + std::to_string(terms) + " terms in f32",
          .flop = 2 * double(c.rows) * double(c.in) * double(c.out)};
}

void add(const Request& r, const LinearCase& c, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const kernels::LinearOptions o{.tf32 = r.precision == Precision::tf32};
  const Shape x{c.rows, c.in}, w{c.out, c.in}, y{c.rows, c.out};
  all.push_back(pass(r, "forward", c, c.in)
                    .reads("x", x, type)
                    .reads("w", w, type)
                    .writes("y", y, type, bound_of(c.in))
                    .runs(&Linear::forward, [o](auto f, Stream s, const Views& v) {
                      f(s, o, v[0], v[1], v[2], {});
                    }));
  all.push_back(pass(r, "grad_input", c, c.out)
                    .reads("dy", y, type)
                    .reads("w", w, type)
                    .writes("dx", x, type, bound_of(c.out))
                    .runs(&Linear::grad_input, [o](auto f, Stream s, const Views& v) {
                      f(s, o, v[0], v[1], v[2], false);
                    }));
  all.push_back(pass(r, "grad_weight", c, c.rows)
                    .reads("x", x, type)
                    .reads("dy", y, type)
                    .writes("dw", w, Dtype::f32, bound_of(c.rows))
                    .runs(&Linear::grad_weight, [o](auto f, Stream s, const Views& v) {
                      f(s, o, v[0], v[1], v[2], false);
                    }));
  if (o.tf32) return;  // sums alone: no factors
  Trial bias = pass(r, "grad_bias", c, c.rows);
  bias.flop = 0;
  all.push_back(bias.reads("dy", y, type)
                    .writes("db", {c.out}, Dtype::f32, bound_of(c.rows))
                    .runs(&Linear::grad_bias,
                          [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], false); }));
}

LinearCase from_text(const std::string& text) {
  Words words("linear", text);
  const Shape x = words.shape("x", 2), w = words.shape("w", 2);
  words.done();
  kernels::linear_output(x, w);
  return {"", x[0], x[1], w[0]};
}

std::vector<Trial> make(const Request& r) {
  std::vector<Trial> all;
  if (r.by_hand()) add(r, from_text(r.shapes), all);
  for (const LinearCase& c : kernels::linear_cases)
    if (!r.by_hand() && r.wants(c.tag)) add(r, c, all);
  return all;
}

}  // namespace

extern const Trials linear_trial;
const Trials linear_trial = {"linear", constant_of<kernels::linear>, make};

}  // namespace kinema::tools::compare
