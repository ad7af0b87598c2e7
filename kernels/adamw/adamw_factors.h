#pragma once
#include "kernels/adamw/adamw_options.h"
#include "kernels/base/update.h"

namespace kinema::kernels {

/// base^exponent for a whole exponent >= 0, by squaring: the same bits on every device.
constexpr double power(double base, double exponent) {
  double result = 1;
  for (auto left = int64_t(exponent); left > 0; left /= 2, base *= base)
    if (left % 2) result *= base;
  return result;
}

/// What a step in f32 multiplies by, each computed in double and rounded once:
///   d = factor * g;  m = beta1 * m + fresh1 * d;  v = beta2 * v + fresh2 * d * d
///   w = keep * w - step * m / (sqrt(v) * root + eps)
struct AdamWFactors {
  float factor;
  float keep;           ///< of w, after decay
  float beta1, fresh1;  ///< fresh is 1 - beta
  float beta2, fresh2;
  float step;  ///< rate / (1 - beta1^t)
  float root;  ///< 1 / sqrt(1 - beta2^t)
  float eps;
  bool apply;
};

/// `root` is 1 / sqrt(1 - beta2^t): the root is another function on each device.
constexpr AdamWFactors adamw_factors(const AdamWOptions& o, const Update& u, double root) {
  return {.factor = float(u.factor),
          .keep = float(1 - u.rate * o.weight_decay),
          .beta1 = float(o.beta1),
          .fresh1 = float(1 - o.beta1),
          .beta2 = float(o.beta2),
          .fresh2 = float(1 - o.beta2),
          .step = float(u.rate / (1 - power(o.beta1, u.number))),
          .root = float(root),
          .eps = float(o.eps),
          .apply = u.apply != 0};
}

}  // namespace kinema::kernels
