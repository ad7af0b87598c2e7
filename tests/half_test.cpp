#include "kernels/base/half.h"
#include <gtest/gtest.h>
#include <cmath>
#include <limits>
#include "kernels/base/dtype.h"

namespace kinema::test {
namespace {

using kernels::bf16, kernels::f16;

template <class T>
T from_bits(uint32_t bits) {
  T v;
  v.bits = uint16_t(bits);
  return v;
}

/// What a format stores: a sign, `exponent` bits with that bias, `mantissa` bits.
template <class T>
struct Format;
template <>
struct Format<bf16> {
  static constexpr int mantissa = 7, bias = 127;
};
template <>
struct Format<f16> {
  static constexpr int mantissa = 10, bias = 15;
};

/// The value of a pattern by IEEE 754's definition, in double.
template <class T>
double defined(uint32_t bits) {
  constexpr int m = Format<T>::mantissa, bias = Format<T>::bias;
  const int fraction = int(bits & ((1u << m) - 1)), exponent = int((bits & 0x7fffu) >> m);
  const double sign = bits & 0x8000u ? -1 : 1;
  if (exponent == 2 * bias + 1) return fraction ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - m);
  return sign * std::ldexp((1 << m) + fraction, exponent - bias - m);
}

template <class T>
constexpr uint32_t infinity = uint32_t(2 * Format<T>::bias + 1) << Format<T>::mantissa;

template <class T>
class Half : public ::testing::Test {};
using Types = ::testing::Types<bf16, f16>;
TYPED_TEST_SUITE(Half, Types);

TYPED_TEST(Half, EveryPatternIsItsValueAndComesBack) {
  using T = TypeParam;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = from_bits<T>(bits);
    const double want = defined<T>(bits);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(float(T(value))) && std::isnan(float(T(double(value))))) << bits;
    } else {
      ASSERT_EQ(double(value), want) << bits;
      ASSERT_EQ(std::signbit(value), std::signbit(want)) << bits;
      ASSERT_EQ(T(value).bits, bits);
      ASSERT_EQ(T(double(value)).bits, bits);
    }
  }
}

/// Between two neighbours the middle goes to the even one, the rest to the nearer, in either sign.
TYPED_TEST(Half, RoundsToNearestTiesToEven) {
  using T = TypeParam;
  for (uint32_t low = 0; low < infinity<T>; ++low) {
    const double a = defined<T>(low), top = defined<T>(low) - defined<T>(low ? low - 1 : 1);
    // Beyond the largest number the next would lie as far again.
    const double b = low + 1 < infinity<T> ? defined<T>(low + 1) : a + top;
    const double middle = (a + b) / 2;
    const uint32_t even = low % 2 ? low + 1 : low;
    for (uint32_t sign : {0u, 0x8000u}) {
      const double s = sign ? -1 : 1;
      const float f = float(s * middle);
      ASSERT_EQ(double(f), s * middle);  // f32 holds it
      ASSERT_EQ(T(f).bits, sign | even) << low;
      ASSERT_EQ(T(std::nextafterf(f, 0)).bits, sign | low) << low;
      ASSERT_EQ(T(std::nextafterf(f, float(s) * INFINITY)).bits, sign | (low + 1)) << low;
      // In double the neighbours of the middle are so near that f32 would round them to it.
      ASSERT_EQ(T(s * middle).bits, sign | even) << low;
      ASSERT_EQ(T(std::nextafter(s * middle, 0)).bits, sign | low) << low;
      ASSERT_EQ(T(std::nextafter(s * middle, s * INFINITY)).bits, sign | (low + 1)) << low;
    }
  }
}

TYPED_TEST(Half, TooLargeIsInfiniteAndTooSmallIsZero) {
  using T = TypeParam;
  for (double v : {1e39, 1e300, double(std::numeric_limits<float>::max()), double(INFINITY)}) {
    EXPECT_EQ(T(v).bits, infinity<T>) << v;
    EXPECT_EQ(T(-v).bits, 0x8000u | infinity<T>) << v;
    EXPECT_EQ(T(float(std::min(v, 3.4e38))).bits, T(std::min(v, 3.4e38)).bits) << v;
  }
  for (double v : {1e-300, 1e-46, 1e-45 / 4}) {
    EXPECT_EQ(T(v).bits, 0u) << v;
    EXPECT_EQ(T(-v).bits, 0x8000u) << v;
  }
}

TYPED_TEST(Half, TakesWholeNumbers) {
  using T = TypeParam;
  EXPECT_EQ(float(T(0)), 0);
  EXPECT_EQ(float(T(-3)), -3);
  EXPECT_EQ(float(T(uint8_t(200))), 200);
  const bool reaches = Format<T>::bias == 127;
  EXPECT_EQ(float(T(int64_t(1) << 40)), reaches ? 0x1p40f : INFINITY);
}

TEST(Dtype, NarrowTypesHaveNamesAndSizes) {
  using namespace kernels;
  EXPECT_STREQ(name_of(Dtype::bf16), "bf16");
  EXPECT_STREQ(name_of(Dtype::f16), "f16");
  for (Dtype d : {Dtype::bf16, Dtype::f16}) {
    EXPECT_EQ(size_of(d), 2);
    EXPECT_TRUE(is_narrow(d) && is_float(d));
    EXPECT_EQ(wide_of(d), Dtype::f32);
    EXPECT_EQ(dispatch_any(d, []<class T>(T) { return dtype_of<T>(); }), d);
    EXPECT_EQ(dispatch_float("", d, []<class T>(T) { return dtype_of<T>(); }), d);
    EXPECT_EQ(dispatch_activation("", d, []<class T>(T) { return dtype_of<T>(); }), d);
  }
  EXPECT_FALSE(is_narrow(Dtype::f32) || is_float(Dtype::u8));
  EXPECT_EQ(wide_of(Dtype::f64), Dtype::f64);
}

}  // namespace
}  // namespace kinema::test
