#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct SoftmaxCrossEntropyCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
};

/// Edges first, then batches of UCF101 and Kinetics, a score for each pixel, and for each token of
/// a vocabulary that a block holds and of one that it does not.
inline const std::vector<SoftmaxCrossEntropyCase> softmax_cross_entropy_cases = {
    {"ci", {1, 1}},          {"ci", {1, 5}},          {"ci", {3, 1}},       {"ci", {7, 12}},
    {"ci", {8, 101}},        {"full", {8, 400}},      {"full", {8192, 45}}, {"full", {65536, 400}},
    {"full", {16384, 4000}}, {"full", {2048, 32000}},
};

}  // namespace kinema::kernels
