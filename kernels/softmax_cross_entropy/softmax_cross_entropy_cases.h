#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct SoftmaxCrossEntropyCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
};

/// Edges first, then batches of UCF101 and Kinetics, and a score for each pixel.
inline const std::vector<SoftmaxCrossEntropyCase> softmax_cross_entropy_cases = {
    {"ci", {1, 1}},   {"ci", {1, 5}},     {"ci", {3, 1}},       {"ci", {7, 12}},
    {"ci", {8, 101}}, {"full", {8, 400}}, {"full", {8192, 45}},
};

}  // namespace kinema::kernels
