#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct LerpCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape x;
};

/// Edges first, then an arena of weights and a clip to be mixed.
inline const std::vector<LerpCase> lerp_cases = {
    {"ci", {0}},       {"ci", {1}},     {"ci", {3, 5}},       {"ci", {2, 3, 4, 5, 3}},
    {"ci", {2, 0, 6}}, {"ci", {50003}}, {"full", {78000000}}, {"full", {1, 16, 112, 112, 3}},
};

}  // namespace kinema::kernels
