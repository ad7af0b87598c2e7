#pragma once

namespace kinema::kernels {

struct BatchNormOptions {
  double eps = 1e-5;      ///< added to the variance
  double momentum = 0.1;  ///< the share of this batch in the running statistics
};

}  // namespace kinema::kernels
