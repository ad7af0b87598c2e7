#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct LinearCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  int64_t rows, in, out;
};

/// Edges first, then heads of real networks.
inline const std::vector<LinearCase> linear_cases = {
    {"ci", 1, 1, 1},   {"ci", 3, 5, 7},      {"ci", 0, 5, 3},        {"ci", 3, 0, 5},
    {"ci", 3, 5, 0},   {"ci", 1, 45, 12},    {"ci", 17, 24, 12},     {"ci", 8, 256, 101},
    {"ci", 5, 513, 3}, {"ci", 64, 1000, 33}, {"full", 8, 2048, 400}, {"full", 30, 8192, 4096},
};

}  // namespace kinema::kernels
