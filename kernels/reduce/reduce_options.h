#pragma once
#include <array>
#include "kernels/base/view.h"

namespace kinema::kernels {

/// What is summed, and the factor on each sum: 1 for a sum, 1 / (elements summed) for a mean.
struct ReduceOptions {
  std::array<bool, max_rank> axes{};  ///< true: summed over, and of size 1 in the result
  double scale = 1;
};

}  // namespace kinema::kernels
