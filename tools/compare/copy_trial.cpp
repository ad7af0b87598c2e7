#include "kernels/copy/copy.h"
#include "kernels/copy/copy_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::Copy;

/// Nothing is rounded but to the type of y.
constexpr double bound = 0, sum_bound = f32_epsilon;

void add(const Request& r, const Shape& x, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const Dtype other = type == Dtype::f32 ? Dtype::bf16 : Dtype::f32;
  const auto pass = [&](const char* name) {
    return Trial{.pass = name,
                 .precision = r.precision,
                 .shape = word_of("x", x),
                 .reason = "rounded once, to the type of y"};
  };
  const auto call = [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], false); };
  all.push_back(
      pass("forward").reads("x", x, type).writes("y", x, type, bound).runs(&Copy::forward, call));
  all.push_back(
      pass("cast").reads("x", x, other).writes("y", x, type, bound).runs(&Copy::forward, call));
  all.push_back(pass("from_u8")
                    .reads("x", x, Dtype::u8, 0, 256)
                    .writes("y", x, type, bound)
                    .runs(&Copy::forward, call));
  all.push_back(
      pass("accumulate")
          .reads("x", x, type)
          .updates("y", x, type, sum_bound)
          .runs(&Copy::forward, [](auto f, Stream s, const Views& v) { f(s, v[0], v[1], true); }));
  all.push_back(pass("fill")
                    .writes("y", x, type, bound)
                    .runs(&Copy::fill, [](auto f, Stream s, const Views& v) { f(s, v[0], 0.5); }));
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::CopyCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& x : shapes_of(r, "copy", kernels::copy_cases, &Case::x)) add(r, x, all);
  return all;
}

}  // namespace

extern const Trials copy_trial;
const Trials copy_trial = {"copy", constant_of<kernels::copy>, make};

}  // namespace kinema::tools::compare
