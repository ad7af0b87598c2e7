#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct SigmoidCrossEntropyCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
};

/// Edges first, then batches of Charades (157 classes) and of large vocabularies.
inline const std::vector<SigmoidCrossEntropyCase> sigmoid_cross_entropy_cases = {
    {"ci", {1, 1}},   {"ci", {1, 5}},      {"ci", {3, 1}},        {"ci", {7, 12}},
    {"ci", {8, 157}}, {"full", {16, 157}}, {"full", {512, 4800}}, {"full", {16384, 4800}},
};

}  // namespace kinema::kernels
