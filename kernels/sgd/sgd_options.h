#pragma once

namespace kinema::kernels {

/// Stochastic gradient descent with momentum.
struct SgdOptions {
  double momentum = 0;
  double dampening = 0;  ///< share of the gradient kept out of the velocity
  bool nesterov = false;
  double weight_decay = 0;
};

}  // namespace kinema::kernels
