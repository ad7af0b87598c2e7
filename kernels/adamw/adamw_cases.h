#pragma once
#include <vector>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct AdamWCase {
  const char* tag;  ///< ci: run by the tests; full: by benchmarks
  Shape w;
};

/// Edges first, then arenas: a small 3D network, C3D.
inline const std::vector<AdamWCase> adamw_cases = {
    {"ci", {0}},     {"ci", {1}},        {"ci", {7}},          {"ci", {3, 5}},
    {"ci", {50003}}, {"full", {350000}}, {"full", {78000000}},
};

}  // namespace kinema::kernels
