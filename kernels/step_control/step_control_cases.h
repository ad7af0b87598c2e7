#pragma once
#include <vector>
#include "kernels/step_control/step_control_options.h"

namespace kinema::kernels {

/// A step of so many batches; what it does with the sum of squares below is the same everywhere.
struct StepControlCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  StepControlOptions options;
  int batches;
  double squared_norm, loss;
};

/// Plain, clipped, scaled up, overflowing, a fault.
inline const std::vector<StepControlCase> step_control_cases = {
    {"ci", {}, 1, 9, 0.5},
    {"ci", {}, 3, 0, 0.5},
    {"ci", {.clip_norm = 0.25}, 2, 9, 1.5},
    {"ci", {.scales = true, .most_scale = 0x1p20, .patience = 1}, 1, 1e20, 2},
    {"ci", {.clip_norm = 1, .scales = true, .most_scale = 0x1p20}, 2, 1e300 * 1e300, 2},
    {"ci", {.least_scale = 0x1p16}, 2, 1e300 * 1e300, 2},
    {"ci", {.scales = true}, 1, 4, 1e300 * 1e300},
    {"full", {.clip_norm = 0.25, .scales = true}, 1, 9, 0.5},
};

}  // namespace kinema::kernels
