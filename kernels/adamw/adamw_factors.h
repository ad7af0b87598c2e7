#pragma once
#include <cmath>
#include <cstdint>
#include "kernels/adamw/adamw_options.h"

namespace kinema::kernels {

/// What a step in f32 multiplies by, each computed in double and rounded once:
///   m = beta1 * m + fresh1 * g;  v = beta2 * v + fresh2 * g * g
///   w = keep * w - step * m / (sqrt(v) * root + eps)
struct AdamWFactors {
  float keep;           ///< of w, after decay
  float beta1, fresh1;  ///< fresh is 1 - beta
  float beta2, fresh2;
  float step;  ///< rate / (1 - beta1^t)
  float root;  ///< 1 / sqrt(1 - beta2^t)
  float eps;

  AdamWFactors(const AdamWOptions& o, int64_t t)
      : keep(float(1 - o.rate * o.weight_decay)),
        beta1(float(o.beta1)),
        fresh1(float(1 - o.beta1)),
        beta2(float(o.beta2)),
        fresh2(float(1 - o.beta2)),
        step(float(o.rate / (1 - std::pow(o.beta1, double(t))))),
        root(float(1 / std::sqrt(1 - std::pow(o.beta2, double(t))))),
        eps(float(o.eps)) {}
};

}  // namespace kinema::kernels
