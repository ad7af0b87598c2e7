#include "engine/train/mixup.h"
#include <cmath>
#include <numbers>
#include <numeric>
#include "engine/ops/copy.h"
#include "engine/ops/lerp.h"
#include "engine/ops/views.h"
#include "kernels/base/philox.h"

namespace kinema::engine::train {

namespace {

/// Numbers of one stream, one after the other.
class Draws {
 public:
  explicit Draws(RandomKey key) : key_(key) {}
  /// In (0, 1), with 52 bits.
  double uniform() {
    const auto w = kernels::philox(count_++, key_.key, key_.stream);
    return (double(w[0] >> 6) * 0x1p26 + double(w[1] >> 6) + 0.5) * 0x1p-52;
  }
  double normal() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }
  /// In [0, count).
  int64_t below(int64_t count) { return int64_t(uniform() * double(count)); }

 private:
  RandomKey key_;
  uint64_t count_ = 0;
};

/// The logarithm of a gamma variate: for a small alpha the variate itself would often be 0.
double log_gamma_variate(double alpha, Draws& draws) {
  if (alpha < 1) {
    const double boost = std::log(draws.uniform()) / alpha;
    return boost + log_gamma_variate(alpha + 1, draws);
  }
  const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = draws.normal(), root = 1 + c * x;
    if (root <= 0) continue;
    const double log_v = 3 * std::log(root);
    if (std::log(draws.uniform()) < x * x / 2 + d - d * std::exp(log_v) + d * log_v)
      return std::log(d) + log_v;
  }
}

double beta_variate(double alpha, Draws& draws) {
  const double a = log_gamma_variate(alpha, draws), b = log_gamma_variate(alpha, draws);
  return 1 / (1 + std::exp(b - a));
}

/// 0 ... count - 1 in a random order (Fisher and Yates).
std::vector<int64_t> permutation(int64_t count, Draws& draws) {
  std::vector<int64_t> p(static_cast<size_t>(count));
  std::iota(p.begin(), p.end(), 0);
  for (int64_t i = count - 1; i > 0; --i) std::swap(p[size_t(i)], p[size_t(draws.below(i + 1))]);
  return p;
}

}  // namespace

double draw_beta(double alpha, RandomKey key) {
  Draws draws(key);
  return beta_variate(alpha, draws);
}

Mixture mixup(const Tensor& clips, const Tensor& labels, double alpha) {
  check(alpha >= 0, "mixup: alpha must not be negative, got ", alpha);
  if (alpha == 0) return {clips, {labels}};
  Draws draws(next_key("mixup"));
  const double share = beta_variate(alpha, draws);
  const std::vector<int64_t> partner = permutation(clips.shape(0), draws);
  Mixture m{empty_like(clips), {labels, empty_like(labels)}, share};
  copy(clips, m.clips);
  const Tensor rest = full({1}, 1 - share, Dtype::f64, clips.device());
  for (int64_t n = 0; n < clips.shape(0); ++n) {
    const int64_t p = partner[size_t(n)];
    lerp(rest, slice(clips, 0, p, 1), slice(m.clips, 0, n, 1));
    copy(slice(labels, 0, p, 1), slice(m.targets.partners, 0, n, 1));
  }
  return m;
}

}  // namespace kinema::engine::train
