#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_cases.h"
#include "tools/compare/trial.h"
#include "tools/compare/update.h"

namespace kinema::tools::compare {

namespace {

/// At most 10 operations and factors in f32 on f32, half a unit each, times 2.
constexpr double bound = 10 * f32_epsilon;

constexpr kernels::AdamWOptions options = {};

/// In f32; in bf16 or f16 with a working copy of that type beside weights of f32.
Trial trial_of(const Request& r, const Shape& w) {
  const Dtype type = dtype_of(r.precision);
  Trial t{.pass = "step",
          .precision = r.precision,
          .shape = word_of("w", w),
          .reason = "some 10 operations in f32"};
  t.reads("update", {kernels::Update::size}, Dtype::f64, update_number)
      .updates("w", w, Dtype::f32, bound)
      .reads("g", w, Dtype::f32)
      .updates("m", w, Dtype::f32, bound)
      .updates("v", w, Dtype::f32, bound, 0.01, 1);
  if (type != Dtype::f32) t.writes("working", w, type, bound);
  return t.runs(&kernels::AdamW::step, [](auto f, Stream s, const Views& v) {
    f(s, options, v[0], v[1], v[2], v[3], v[4], working_of(v, 5));
    copy_to_working(s, v[1], v, 5);
  });
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::AdamWCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& w : shapes_of(r, "adamw", kernels::adamw_cases, &Case::w, "w"))
    all.push_back(trial_of(r, w));
  return all;
}

}  // namespace

extern const Trials adamw_trial;
const Trials adamw_trial = {"adamw", constant_of<kernels::adamw>, make};

}  // namespace kinema::tools::compare
