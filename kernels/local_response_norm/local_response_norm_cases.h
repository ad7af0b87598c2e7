#pragma once
#include <vector>
#include "kernels/base/view.h"
#include "kernels/local_response_norm/local_response_norm_options.h"

namespace kinema::kernels {

struct LocalResponseNormCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  const char* what;
  Shape x;
  LocalResponseNormOptions options;
};

/// Edges first, then layers of real networks. Large alphas make the sums matter.
inline const std::vector<LocalResponseNormCase> local_response_norm_cases = {
    {"ci", "no rows", {0, 3, 4}, {}},
    {"ci", "no channels", {2, 1, 2, 3, 0}, {}},
    {"ci", "one channel", {2, 1, 2, 2, 1}, {.n = 5, .k = 1, .alpha = 0.5}},
    {"ci", "frames", {2, 3, 5, 7, 3}, {.n = 3, .k = 0.5, .alpha = 0.7, .beta = 0.75}},
    {"ci", "one axis", {7}, {.n = 3, .k = 1, .alpha = 1, .beta = 1}},
    {"ci", "window of one", {3, 17}, {.n = 1, .k = 1, .alpha = 1, .beta = 0.5}},
    {"ci", "window past the channels", {2, 2, 2, 2, 6}, {.n = 15, .k = 1, .alpha = 0.1}},
    {"ci", "odd channels", {2, 2, 3, 5, 45}, {.n = 5, .k = 2, .alpha = 0.3, .beta = 0.5}},
    {"ci", "any exponent", {2, 2, 3, 3, 37}, {.n = 7, .k = 2, .alpha = 0.3, .beta = 0.6}},
    {"ci", "no exponent", {1, 2, 3, 3, 8}, {.n = 3, .k = 2, .alpha = 0.3, .beta = 0}},
    {"ci", "AlexNet", {1, 1, 5, 5, 96}, {.n = 5, .k = 2, .alpha = 0.1, .beta = 0.75}},
    {"ci", "Karpathy conv2", {1, 2, 4, 5, 256}, {.n = 5, .k = 2, .alpha = 0.1, .beta = 0.5}},
    {"full", "Karpathy conv1", {16, 1, 57, 57, 96}, {}},
    {"full", "Karpathy conv2", {16, 1, 28, 28, 256}, {}},
    {"full", "AlexNet conv1", {16, 1, 55, 55, 96}, {.beta = 0.75}},
};

}  // namespace kinema::kernels
