#pragma once
#include <cstdint>

namespace kinema::kernels {

/// The defaults are those of Karpathy et al., CVPR 2014, section 4.1.
struct LocalResponseNormOptions {
  int64_t n = 5;        ///< channels of a window, odd
  double k = 2;         ///< above 0
  double alpha = 1e-4;  ///< weight of the sum of squares, not of their mean; at least 0
  double beta = 0.5;    ///< exponent, at least 0; 0.5 and 0.75 are fast
};

}  // namespace kinema::kernels
