#pragma once

namespace kinema::kernels {

struct SoftmaxCrossEntropyOptions {
  double smoothing = 0;  ///< share of the target that is spread over all classes, in [0,1]
};

}  // namespace kinema::kernels
