#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct BatchNormCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
};

/// Edges first, then activations of real networks.
inline const std::vector<BatchNormCase> batch_norm_cases = {
    {"ci", {2, 1}},
    {"ci", {7, 0}},
    {"ci", {9, 5}},
    {"ci", {3, 11, 6}},
    {"ci", {1, 2, 1, 1, 3}},
    {"ci", {2, 3, 4, 5, 12}},
    {"ci", {2, 2, 5, 7, 45}},
    {"ci", {1, 2, 3, 3, 230}},
    {"ci", {2, 5, 24, 24, 24}},  // several chunks of rows
    {"ci", {3, 4, 14, 14, 64}},
    {"ci", {2, 2, 7, 7, 512}},
    {"full", {8, 16, 112, 112, 32}},
    {"full", {8, 16, 56, 56, 64}},
    {"full", {8, 8, 28, 28, 128}},
    {"full", {8, 2, 7, 7, 256}},
    {"full", {4, 20, 64, 64, 12}},
};

}  // namespace kinema::kernels
