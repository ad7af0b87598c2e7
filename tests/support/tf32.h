#pragma once
#include <bit>
#include "tests/support/device_check.h"

namespace kinema::test {

/// f32 with 10 bits of mantissa, ties away from 0, as tensor cores are given TF32.
inline double rounded_to_tf32(double x) {
  const auto bits = std::bit_cast<uint32_t>(float(x));
  return double(std::bit_cast<float>((bits + 0x1000u) & ~0x1fffu));
}
inline Array rounded_to_tf32(const Array& a) {
  Array copy = a.clone();
  std::vector<double> values = a.values();
  for (double& v : values) v = rounded_to_tf32(v);
  copy.set(values);
  return copy;
}

}  // namespace kinema::test
