#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct PointwiseCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
};

/// Edges first, then activations of real networks.
inline const std::vector<PointwiseCase> pointwise_cases = {
    {"ci", {1}},
    {"ci", {7}},
    {"ci", {0, 3}},
    {"ci", {3, 5}},
    {"ci", {2, 3, 0, 5, 6}},
    {"ci", {1, 1, 1, 1, 1}},
    {"ci", {1, 3, 1, 2, 1}},
    {"ci", {2, 3, 4, 5, 3}},
    {"ci", {2, 2, 3, 5, 45}},
    {"ci", {2, 3, 2, 3, 2, 7}},
    {"ci", {2, 4, 14, 14, 64}},
    {"full", {8, 4096}},
    {"full", {8, 16, 56, 56, 64}},
};

}  // namespace kinema::kernels
