#include "engine/nn/init.h"
#include <cmath>

namespace kinema::engine::nn {

void he_normal(const Tensor& t, int64_t fan_in, RandomKey key) {
  check(fan_in >= 1, "he_normal: fan_in must be at least 1, got ", fan_in);
  fill_normal(t, 0, std::sqrt(2 / double(fan_in)), key);
}

void xavier_uniform(const Tensor& t, int64_t fan_in, int64_t fan_out, RandomKey key) {
  check(fan_in >= 1 && fan_out >= 1, "xavier_uniform: fan_in and fan_out must be at least 1, got ",
        fan_in, " and ", fan_out);
  const double limit = std::sqrt(6 / double(fan_in + fan_out));
  fill_uniform(t, -limit, limit, key);
}

void normal(const Tensor& t, double deviation, RandomKey key) {
  check(deviation >= 0, "normal: the deviation must not be negative, got ", deviation);
  fill_normal(t, 0, deviation, key);
}

}  // namespace kinema::engine::nn
