#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace kinema::kernels {

/// e^x in f32 to 2 ulp, without calls or branches, so that loops over it become vector code. Below
/// -87.3 and above 88.3 it stays at its value there; NaN stays NaN.
/// Source: Cody and Waite's reduction, coefficients of Cephes' expf (Moshier, netlib.org/cephes).
inline float vector_exp(float x) {
  x = std::min(std::max(x, -87.3f), 88.3f);
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const float shifted = x * 1.44269504f + 12582912.f;
  const float n = shifted - 12582912.f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  return p * std::bit_cast<float>(power);
}

/// x^-1/2 in f32 to 3 ulp for normal positive x, without calls or branches (GCC keeps std::sqrt
/// scalar for the sake of errno): Newton's iteration from the exponent halved. NaN stays NaN.
/// Source: Lomont, Fast inverse square root, 2003.
inline float vector_rsqrt(float x) {
  float y = std::bit_cast<float>(0x5f375a86u - (std::bit_cast<uint32_t>(x) >> 1));
  for (int i = 0; i < 3; ++i) y *= 1.5f - 0.5f * x * y * y;
  return y;
}

inline float vector_sigmoid(float x) { return 1.f / (1.f + vector_exp(-x)); }

/// tanh(x) in f32 to 3 ulp; near 0 by Cephes' tanhf, where 1 - 2 / (e^2x + 1) would cancel.
inline float vector_tanh(float x) {
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x;
  const float size = std::abs(x);
  const float far = std::copysign(1.f - 2.f / (vector_exp(2.f * size) + 1.f), x);
  return size < 0.625f ? near : far;
}

}  // namespace kinema::kernels
