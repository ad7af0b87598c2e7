#include "kernels/sgd/sgd.h"
#include "kernels/sgd/sgd_cases.h"
#include "tools/compare/trial.h"
#include "tools/compare/update.h"

namespace kinema::tools::compare {

namespace {

/// At most 8 operations in f32 on inputs that are f32 already, half a unit each, times 2.
constexpr double bound = 8 * f32_epsilon;

constexpr kernels::SgdOptions options = {.momentum = 0.9, .weight_decay = 1e-4};

/// In f32; in bf16 or f16 with a working copy of that type beside weights of f32.
Trial trial_of(const Request& r, const Shape& w) {
  const Dtype type = dtype_of(r.precision);
  Trial t{.pass = "step",
          .precision = r.precision,
          .shape = word_of("w", w),
          .reason = "some 8 operations in f32"};
  t.reads("update", {kernels::Update::size}, Dtype::f64, update_number)
      .updates("w", w, Dtype::f32, bound)
      .reads("g", w, Dtype::f32)
      .updates("v", w, Dtype::f32, bound);
  if (type != Dtype::f32) t.writes("working", w, type, bound);
  return t.runs(&kernels::Sgd::step, [](auto f, Stream s, const Views& v) {
    f(s, options, v[0], v[1], v[2], v[3], working_of(v, 4));
    copy_to_working(s, v[1], v, 4);
  });
}

std::vector<Trial> make(const Request& r) {
  using Case = kernels::SgdCase;
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const Shape& w : shapes_of(r, "sgd", kernels::sgd_cases, &Case::w, "w"))
    all.push_back(trial_of(r, w));
  return all;
}

}  // namespace

extern const Trials sgd_trial;
const Trials sgd_trial = {"sgd", constant_of<kernels::sgd>, make};

}  // namespace kinema::tools::compare
