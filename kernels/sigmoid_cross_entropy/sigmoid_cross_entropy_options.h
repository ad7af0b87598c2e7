#pragma once

namespace kinema::kernels {

struct SigmoidCrossEntropyOptions {
  double smoothing = 0;  ///< how far targets are drawn to 1/2, in [0,1]
};

}  // namespace kinema::kernels
