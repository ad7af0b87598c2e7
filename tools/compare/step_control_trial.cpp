#include <array>
#include <bit>
#include <cmath>
#include "kernels/step_control/step_control.h"
#include "kernels/step_control/step_control_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::StepControl, kernels::StepControlCase, kernels::StepNumbers;

/// All is in double, and the same few operations everywhere; the norm is a root.
constexpr double bound = 1e-14;

/// As after some batches of a step under a loss scale.
double number_of(const StepControlCase& c, int64_t i) {
  const StepNumbers n{.rate = 0.1,
                      .unit = 8,
                      .clips = 8.0 * c.batches,
                      .batches = double(c.batches),
                      .batch_clips = 8,
                      .loss_sum = std::isfinite(c.loss) ? c.loss : 0,
                      .squared_norm = c.squared_norm,
                      .loss_scale = 0x1p10};
  return std::bit_cast<std::array<double, StepNumbers::size>>(n)[size_t(i)];
}

/// One thread's work: right or wrong, of no interest for its speed.
void add(const Request& r, const StepControlCase& c, size_t number, std::vector<Trial>& all) {
  Trial t{.precision = r.precision,
          .shape = "case=" + std::to_string(number),
          .reason = "a few operations in f64"};
  Trial next = t;
  t.pass = "decide";
  t.updates("numbers", {StepNumbers::size}, Dtype::f64, bound);
  t.operands.back().value = [c](int64_t i) { return number_of(c, i); };
  all.push_back(t.updates("steps", {1}, Dtype::i64, 0, 5, 6)
                    .writes("update", {kernels::Update::size}, Dtype::f64, bound)
                    .runs(&StepControl::decide, [o = c.options](auto f, Stream s, const Views& v) {
                      f(s, o, v[0], v[1], v[2]);
                    }));
  next.pass = "next";
  all.push_back(next.updates("steps", {1}, Dtype::i64, 0, 5, 6)
                    .writes("update", {kernels::Update::size}, Dtype::f64, bound)
                    .runs(&StepControl::next,
                          [](auto f, Stream s, const Views& v) { f(s, 0.1, v[0], v[1]); }));
}

std::vector<Trial> make(const Request& r) {
  std::vector<Trial> all;
  kernels::check(!r.by_hand(), "step_control: takes no shape by hand");
  if (r.precision != Precision::f32) return all;
  for (size_t i = 0; i < kernels::step_control_cases.size(); ++i)
    if (r.wants(kernels::step_control_cases[i].tag)) add(r, kernels::step_control_cases[i], i, all);
  return all;
}

}  // namespace

extern const Trials step_control_trial;
const Trials step_control_trial = {"step_control", constant_of<kernels::step_control>, make};

}  // namespace kinema::tools::compare
