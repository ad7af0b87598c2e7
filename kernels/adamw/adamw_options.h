#pragma once
#include <cstdint>

namespace kinema::kernels {

/// Adam with decoupled weight decay.
struct AdamWOptions {
  double beta1 = 0.9;    ///< decay of the mean of gradients
  double beta2 = 0.999;  ///< decay of the mean of their squares
  double eps = 1e-8;     ///< added to the root of the latter
  double weight_decay = 1e-2;
};

}  // namespace kinema::kernels
