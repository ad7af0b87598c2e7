#pragma once
#include <bit>
#include <concepts>
#include <cstdint>

namespace kinema::kernels {

namespace half_bits {

/// v as f32, rounded to odd: a second rounding to fewer bits then gives what rounding v once would.
/// Source: Boldo and Melquiond, Emulation of FMA and correctly rounded sums, IEEE TC 57 (2008).
constexpr float rounded_to_odd(double v) {
  const float near = float(v);
  const double back = double(near);
  if (back == v || v != v) return near;
  const uint32_t bits = std::bit_cast<uint32_t>(near);
  const bool away = (back < 0 ? -back : back) > (v < 0 ? -v : v);
  return std::bit_cast<float>((away ? bits - 1 : bits) | 1u);
}

}  // namespace half_bits

/// bfloat16: the upper half of an f32, so 8 bits of precision at f32's range. Conversions round to
/// the nearest, ties to even; what is too large becomes infinite, NaN stays NaN. Without branches,
/// so that loops over them become vector code.
struct bf16 {
  uint16_t bits;

  bf16() = default;
  constexpr explicit bf16(float v) {
    const uint32_t u = std::bit_cast<uint32_t>(v);
    const uint32_t nearest = (u + 0x7fffu + (u >> 16 & 1u)) >> 16, nan = u >> 16 | 0x40u;
    bits = uint16_t((u & 0x7fffffffu) > 0x7f800000u ? nan : nearest);
  }
  constexpr explicit bf16(double v) : bf16(half_bits::rounded_to_odd(v)) {}
  constexpr explicit bf16(std::integral auto v) : bf16(double(v)) {}
  constexpr operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

/// IEEE 754 binary16: 11 bits of precision from 2^-14 to 65504, below down to 2^-24 by subnormal
/// numbers. Conversions as bf16's.
/// Source: Giesen, "Float->half variants" (gist.github.com/rygorous/2156668), made free of
/// branches.
struct f16 {
  uint16_t bits;

  f16() = default;
  constexpr explicit f16(float v) {
    const uint32_t u = std::bit_cast<uint32_t>(v), sign = u >> 16 & 0x8000u, size = u & 0x7fffffffu;
    // Carries into the exponent are right, also that from 65504 to infinity.
    const uint32_t normal = (size + (size >> 13 & 1u) + 0xfffu - (112u << 23)) >> 13;
    // One unit in the last place of 0.5 is the least subnormal: the addition rounds.
    const uint32_t tiny = std::bit_cast<uint32_t>(std::bit_cast<float>(size) + 0.5f) - 0x3f000000u;
    const uint32_t huge = size > 0x7f800000u ? 0x7e00u | (size >> 13 & 0x3ffu) : 0x7c00u;
    const uint32_t finite = size < 113u << 23 ? tiny : normal;
    bits = uint16_t(sign | (size >= 0x47800000u ? huge : finite));
  }
  constexpr explicit f16(double v) : f16(half_bits::rounded_to_odd(v)) {}
  constexpr explicit f16(std::integral auto v) : f16(double(v)) {}
  constexpr operator float() const {
    const uint32_t word = bits, size = (word & 0x7fffu) << 13;
    const uint32_t normal = size + ((size >= 0x7c00u << 13 ? 224u : 112u) << 23);
    const float tiny = std::bit_cast<float>(size + (113u << 23)) - 0x1p-14f;
    const uint32_t value = size < 1u << 23 ? std::bit_cast<uint32_t>(tiny) : normal;
    return std::bit_cast<float>(value | (word & 0x8000u) << 16);
  }
};

}  // namespace kinema::kernels
