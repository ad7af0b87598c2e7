#pragma once

namespace kinema::kernels {

struct LayerNormOptions {
  double eps = 1e-5;  ///< added to the variance
};

}  // namespace kinema::kernels
