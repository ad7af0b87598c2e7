#include <sstream>
#include "kernels/local_response_norm/local_response_norm.h"
#include "kernels/local_response_norm/local_response_norm_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::LocalResponseNorm, kernels::LocalResponseNormCase, kernels::LocalResponseNormOptions;

std::string text_of(const LocalResponseNormCase& c) {
  std::ostringstream text;
  text << word_of("x", c.x) << " n=" << c.options.n << " k=" << c.options.k
       << " alpha=" << c.options.alpha << " beta=" << c.options.beta;
  return text.str();
}

LocalResponseNormCase from_text(const std::string& text) {
  Words words("local_response_norm", text);
  LocalResponseNormCase c{"", "", words.shape("x"), {}};
  if (words.has("n")) c.options.n = words.shape("n", 1, 1)[0];
  c.options.k = words.number("k", c.options.k);
  c.options.alpha = words.number("alpha", c.options.alpha);
  c.options.beta = words.number("beta", c.options.beta);
  words.done();
  kernels::check_local_response_norm(c.options, {.shape = c.x}, {.shape = c.x});
  return c;
}

void add(const Request& r, const LocalResponseNormCase& c, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const LocalResponseNormOptions o = c.options;
  // A window's sum of squares rounds n times, the power a few times, each by half a unit, but the
  // sum counts for no more than beta of it; products and the gradient's second window likewise.
  // Times 2.
  const double bound = (16 + 2 * double(o.n)) * f32_epsilon;
  const auto pass = [&](const char* name) {
    return Trial{.pass = name,
                 .precision = r.precision,
                 .shape = text_of(c),
                 .name = c.what,
                 .reason = "sums over a window and a power in f32"};
  };
  all.push_back(pass("forward")
                    .reads("x", c.x, type)
                    .writes("y", c.x, type, bound)
                    .runs(&LocalResponseNorm::forward,
                          [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1]); }));
  all.push_back(pass("grad")
                    .reads("x", c.x, type)
                    .reads("dy", c.x, type)
                    .writes("dx", c.x, type, bound)
                    .runs(&LocalResponseNorm::grad, [o](auto f, Stream s, const Views& v) {
                      f(s, o, v[0], v[1], v[2], false);
                    }));
}

std::vector<Trial> make(const Request& r) {
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  if (r.by_hand()) add(r, from_text(r.shapes), all);
  for (const LocalResponseNormCase& c : kernels::local_response_norm_cases)
    if (!r.by_hand() && r.wants(c.tag)) add(r, c, all);
  return all;
}

}  // namespace

extern const Trials local_response_norm_trial;
const Trials local_response_norm_trial = {"local_response_norm",
                                          constant_of<kernels::local_response_norm>, make};

}  // namespace kinema::tools::compare
