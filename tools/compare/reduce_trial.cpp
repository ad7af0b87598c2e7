#include "kernels/reduce/reduce.h"
#include "kernels/reduce/reduce_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::Reduce, kernels::ReduceCase, kernels::ReduceOptions;

/// Sums run in double and are rounded once; a norm is not rounded, but for the order of its sum.
constexpr double bound = f32_epsilon, norm_bound = 1e-12;

std::string text_of(const ReduceCase& c) {
  Shape axes;
  for (int a : c.axes) axes.dim[size_t(axes.rank++)] = a;
  return word_of("x", c.x) + (axes.rank ? " " + word_of("axes", axes) : "");
}

ReduceCase from_text(const std::string& text) {
  Words words("reduce", text);
  ReduceCase c{"", words.shape("x"), {}};
  if (words.has("axes"))
    for (int64_t a : words.shape("axes")) {
      kernels::check(a < c.x.rank, "reduce: axes must be below ", c.x.rank, ", got ", a);
      c.axes.push_back(int(a));
    }
  words.done();
  return c;
}

void add(const Request& r, const ReduceCase& c, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  ReduceOptions o{.scale = 0.5};
  for (int a : c.axes) o.axes[size_t(a)] = true;
  const Shape y = kernels::reduce_output(o, c.x);
  const auto pass = [&](const char* name) {
    return Trial{.pass = name,
                 .precision = r.precision,
                 .shape = text_of(c),
                 .reason = "sums in f64, rounded once"};
  };
  all.push_back(pass("forward")
                    .reads("x", c.x, type)
                    .writes("y", y, type, bound)
                    .runs(&Reduce::forward,
                          [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1], false); }));
  all.push_back(pass("broadcast")
                    .reads("dy", y, type)
                    .writes("dx", c.x, type, bound)
                    .runs(&Reduce::broadcast,
                          [o](auto f, Stream s, const Views& v) { f(s, o, v[0], v[1], false); }));
  all.push_back(pass("squared_norm")
                    .reads("x", c.x, type)
                    .writes("y", {1}, Dtype::f64, norm_bound)
                    .runs(&Reduce::squared_norm,
                          [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], false); }));
}

std::vector<Trial> make(const Request& r) {
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  if (r.by_hand()) add(r, from_text(r.shapes), all);
  for (const ReduceCase& c : kernels::reduce_cases)
    if (!r.by_hand() && r.wants(c.tag)) add(r, c, all);
  return all;
}

}  // namespace

extern const Trials reduce_trial;
const Trials reduce_trial = {"reduce", constant_of<kernels::reduce>, make};

}  // namespace kinema::tools::compare
