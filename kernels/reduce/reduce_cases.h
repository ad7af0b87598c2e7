#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct ReduceCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
  std::vector<int> axes;
};

/// Edges first, then what networks do: pooling to one pixel, bias gradients, sums over clips.
inline const std::vector<ReduceCase> reduce_cases = {
    {"ci", {1}, {0}},
    {"ci", {7}, {0}},
    {"ci", {7}, {}},
    {"ci", {0}, {0}},
    {"ci", {3, 5}, {0}},
    {"ci", {3, 5}, {1}},
    {"ci", {3, 5}, {0, 1}},
    {"ci", {0, 5}, {0}},
    {"ci", {5, 0}, {1}},
    {"ci", {2, 3, 0, 5, 6}, {1, 2, 3}},
    {"ci", {0, 3, 2, 5, 6}, {1, 2, 3}},
    {"ci", {1, 1, 1, 1, 1}, {1, 2, 3}},
    {"ci", {2, 3, 4, 5, 3}, {1, 2, 3}},
    {"ci", {2, 3, 4, 5, 3}, {0, 2, 4}},
    {"ci", {2, 3, 4, 5, 45}, {1}},
    {"ci", {2, 3, 4, 5, 45}, {1, 3}},
    {"ci", {2, 3, 4, 5, 45}, {4}},
    {"ci", {2, 3, 2, 3, 2, 7}, {0, 3, 5}},
    {"ci", {2, 4, 28, 28, 45}, {0, 1, 2, 3}},
    {"ci", {2, 8, 28, 28, 24}, {1, 2, 3}},
    {"ci", {100003}, {0}},
    {"full", {8, 4, 14, 14, 512}, {1, 2, 3}},
    {"full", {8, 16, 56, 56, 64}, {0, 1, 2, 3}},
};

}  // namespace kinema::kernels
