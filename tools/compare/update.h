#pragma once
#include "kernels/base/update.h"
#include "kernels/copy/copy.h"
#include "tools/compare/trial.h"

// What trials of optimisers share.

namespace kinema::tools::compare {

/// Number i of a kernels::Update: rate, factor, apply, number of the step.
inline double update_number(int64_t i) {
  constexpr double update[] = {1e-3, 0.5, 1, 100};
  return update[i];
}

/// The working copy, operand `i`, where the trial has one; the reference in f64 takes none.
inline View working_of(const Views& v, size_t i) {
  return v.size() > i && kernels::is_narrow(v[i].dtype) ? v[i] : View{};
}

/// For the reference in f64: what the working copy is a rounding of.
inline void copy_to_working(Stream s, const View& w, const Views& v, size_t i) {
  if (v.size() > i && v[i].dtype == Dtype::f64) kernels::copy_reference.forward(s, w, v[i], false);
}

}  // namespace kinema::tools::compare
