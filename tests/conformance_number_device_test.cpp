#include "tests/conformance_number_device_test.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include "kernels/base/half.h"
#include "tests/support/conformance.h"

// Source of what is expected: IEEE 754 for the formats and rounding to nearest even (PTX ISA 9.0,
// "cvt": .rn, subnormal numbers kept, NaN stays NaN); CUDA C++ Programming Guide, "Mathematical
// Functions", for the bounds of the fast ones.

namespace kinema::test {
namespace {

using kernels::bf16, kernels::f16;

const NumberConformance& device(const DeviceRun& run) {
  return device_of(run, &number_conformance_cuda, &number_conformance_emulated);
}

/// A format of 16 bits: sign, exponent, fraction.
struct Format {
  int exponent_bits, fraction_bits;
};
constexpr Format bf16_format = {8, 7}, f16_format = {5, 10};

/// The number that `bits` stand for; infinity counts as the power of two that comes next if
/// `as_number`.
double decode(Format f, uint32_t bits, bool as_number = false) {
  const int bias = (1 << (f.exponent_bits - 1)) - 1, top = (1 << f.exponent_bits) - 1;
  const int exponent = int(bits >> f.fraction_bits) & top;
  const double fraction = double(bits & ((1u << f.fraction_bits) - 1));
  const double sign = bits >> 15 & 1 ? -1 : 1;
  if (exponent == top && !as_number)
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  const double mantissa = exponent ? std::ldexp(1.0, f.fraction_bits) + fraction : fraction;
  return sign * std::ldexp(mantissa, std::max(exponent, 1) - bias - f.fraction_bits);
}

/// The bits of the number of the format that lies next to v, of two the even one.
uint32_t nearest(Format f, float v) {
  const uint32_t sign = std::signbit(v) ? 0x8000u : 0;
  const double size = std::abs(double(v));
  const uint32_t infinity = ((1u << f.exponent_bits) - 1) << f.fraction_bits;
  if (size >= decode(f, infinity, true)) return sign | infinity;
  uint32_t below = 0, above = infinity;  // numbers grow with their bits
  while (above - below > 1) {
    const uint32_t middle = (below + above) / 2;
    (decode(f, middle, true) <= size ? below : above) = middle;
  }
  const double down = size - decode(f, below, true), up = decode(f, above, true) - size;
  return sign | (down < up || (down == up && below % 2 == 0) ? below : above);
}

/// Every number of the format, the middles between neighbours, what lies just beside these; each
/// with both signs; infinities and some NaNs.
std::vector<float> hard_numbers(Format f) {
  std::vector<float> v;
  const uint32_t infinity = ((1u << f.exponent_bits) - 1) << f.fraction_bits;
  for (uint32_t bits = 0; bits < infinity; ++bits) {
    const auto middle = float((decode(f, bits, true) + decode(f, bits + 1, true)) / 2);
    for (float x : {float(decode(f, bits)), middle, std::nextafter(middle, 0.0f),
                    std::nextafter(middle, std::numeric_limits<float>::max())}) {
      v.push_back(x);
      v.push_back(-x);
    }
  }
  for (uint32_t bits : {0x7f800000u, 0xff800000u, 0x7f7fffffu, 0xff7fffffu, 1u, 0x80000001u,
                        0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xff800001u, 0x7fffffffu})
    v.push_back(std::bit_cast<float>(bits));
  kernels::check(int64_t(v.size()) <= conversions, "too many numbers: ", v.size());
  v.resize(conversions, 0.0f);
  return v;
}

void expect_rounded(const DeviceRun& run, Probe probe, Format f) {
  const std::vector<float> in = hard_numbers(f);
  const auto got = probed<uint16_t>(run, probe, in, in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (std::isnan(in[i]))
      ASSERT_TRUE(std::isnan(decode(f, got[i]))) << run.name << ": " << got[i];
    else
      ASSERT_EQ(got[i], nearest(f, in[i])) << run.name << ": " << in[i];
  }
}

TEST(NumberConformance, NarrowTypesRoundToNearestEven) {
  for (const DeviceRun& run : device_runs()) {
    expect_rounded(run, device(run).to_bf16, bf16_format);
    expect_rounded(run, device(run).to_f16, f16_format);
    const std::vector<float> in = hard_numbers(bf16_format);
    const auto same = probed<float>(run, device(run).to_f32, in, in.size());
    EXPECT_EQ(std::memcmp(same.data(), in.data(), in.size() * 4), 0) << run.name;
  }
}

void expect_widened(const DeviceRun& run, Probe probe, Format f) {
  std::vector<uint16_t> in(65536);
  std::iota(in.begin(), in.end(), uint16_t(0));
  const auto got = probed<float>(run, probe, in, in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    const double wanted = decode(f, in[i]);
    if (std::isnan(wanted))
      ASSERT_TRUE(std::isnan(got[i])) << run.name << ": " << i;
    else
      ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(float(wanted)))
          << run.name << ": " << i;
  }
}

TEST(NumberConformance, NarrowTypesWidenExactly) {
  for (const DeviceRun& run : device_runs()) {
    expect_widened(run, device(run).from_bf16, bf16_format);
    expect_widened(run, device(run).from_f16, f16_format);
  }
}

template <class T>
void expect_reversed(const DeviceRun& run, Probe probe, size_t lanes) {
  std::vector<T> in(pack_elements);
  std::iota(in.begin(), in.end(), T(1));
  const auto got = probed<T>(run, probe, in, in.size());
  for (size_t i = 0; i < in.size(); ++i)
    EXPECT_EQ(got[i], in[i / lanes * lanes + lanes - 1 - i % lanes]) << run.name << ": " << i;
}

TEST(NumberConformance, PacksHoldTheirLanesInOrder) {
  for (const DeviceRun& run : device_runs()) {
    for (size_t i = 0; i < 2; ++i)
      expect_reversed<uint32_t>(run, device(run).reverse_f32[i], size_t(2) << i);
    for (size_t i = 0; i < 3; ++i)
      expect_reversed<uint16_t>(run, device(run).reverse_f16[i], size_t(2) << i);
  }
}

void expect_incremented(const DeviceRun& run, Probe probe, Format f) {
  std::vector<uint16_t> in(pack_elements);
  for (size_t i = 0; i < in.size(); ++i) in[i] = uint16_t(nearest(f, float(i) / 37.0f - 11.0f));
  const auto got = probed<uint16_t>(run, probe, in, in.size());
  for (size_t i = 0; i < in.size(); ++i)
    EXPECT_EQ(got[i], nearest(f, float(decode(f, in[i])) + 1.0f)) << run.name << ": " << i;
}

TEST(NumberConformance, PacksAreComputedInF32) {
  for (const DeviceRun& run : device_runs()) {
    expect_incremented(run, device(run).increment_bf16, bf16_format);
    expect_incremented(run, device(run).increment_f16, f16_format);
  }
}

TEST(NumberConformance, IntegersFollowTheGuide) {
  std::mt19937 source(5);
  std::vector<uint32_t> in(2 * number_pairs);
  for (size_t i = 0; i < in.size(); ++i) in[i] = uint32_t(source()) >> (i / 2 % 33 % 32);
  in[0] = in[1] = 0;
  in[2] = in[3] = ~0u;
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<uint32_t>(run, device(run).integers, in, 5 * number_pairs);
    for (size_t i = 0; i < number_pairs; ++i) {
      const uint32_t a = in[2 * i], b = in[2 * i + 1], *g = &got[5 * i];
      uint32_t ones = 0, above = 0, first = 0;
      for (int bit = 31; bit >= 0; --bit) {
        ones += a >> bit & 1;
        if (a >> bit == 0) above = uint32_t(32 - bit);
        if (a >> bit & 1) first = uint32_t(bit) + 1;
      }
      EXPECT_EQ(g[0], ones) << run.name;
      EXPECT_EQ(g[1], above) << run.name;
      EXPECT_EQ(g[2], first) << run.name;
      EXPECT_EQ(g[3], uint32_t(uint64_t(a) * b >> 32)) << run.name;
      EXPECT_EQ(g[4], a ^ 0x80000000u) << run.name;
    }
  }
}

TEST(NumberConformance, UpperHalvesOfProducts) {
  std::mt19937_64 source(6);
  std::vector<uint64_t> in(2 * number_pairs);
  for (size_t i = 0; i < in.size(); ++i) in[i] = source() >> (i % 64);
  in[0] = in[1] = ~uint64_t(0);
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<uint64_t>(run, device(run).high, in, number_pairs);
    for (size_t i = 0; i < number_pairs; ++i) {
      // By halves of 32 bits, as on paper.
      const uint64_t a = in[2 * i], b = in[2 * i + 1], low = 0xffffffffu;
      const uint64_t ll = (a & low) * (b & low), lh = (a & low) * (b >> 32);
      const uint64_t hl = (a >> 32) * (b & low), hh = (a >> 32) * (b >> 32);
      const uint64_t middle = (ll >> 32) + (lh & low) + (hl & low);
      EXPECT_EQ(got[i], hh + (lh >> 32) + (hl >> 32) + (middle >> 32)) << run.name;
    }
  }
}

/// |got - wanted| in units in the last place of an f32 of wanted's size.
double ulps(float got, double wanted) {
  if (double(got) == wanted) return 0;
  const double ulp = std::ldexp(1.0, std::max(std::ilogb(wanted), -126) - 23);
  return std::abs(double(got) - wanted) / ulp;
}

TEST(NumberConformance, FastFunctionsKeepTheBoundsOfTheGuide) {
  std::mt19937 source(7);
  std::vector<float> in(2 * number_pairs);
  for (size_t i = 0; i < in.size(); i += 2) {
    in[i] = float(source()) * 0x1p-32f * 160.0f - 80.0f;
    in[i + 1] = std::ldexp(1.0f + float(source() >> 9) * 0x1p-23f, int(source() % 120) - 60);
  }
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<float>(run, device(run).functions, in, 5 * number_pairs);
    for (size_t i = 0; i < number_pairs; ++i) {
      const double a = in[2 * i], b = in[2 * i + 1];
      const float* g = &got[5 * i];
      ASSERT_LE(ulps(g[0], 1 / std::sqrt(b)), 2) << run.name << ": " << b;
      ASSERT_LE(ulps(g[1], std::exp(a)), 2 + std::floor(std::abs(1.173 * a)) + 0.5)
          << run.name << ": " << a;
      if (b >= 0.5 && b <= 2)
        ASSERT_LE(std::abs(double(g[2]) - std::log(b)), 0x1p-21) << run.name << ": " << b;
      else
        ASSERT_LE(ulps(g[2], std::log(b)), 3.5) << run.name << ": " << b;
      ASSERT_LE(ulps(g[3], a / b), 2.5) << run.name << ": " << a << " / " << b;
      ASSERT_EQ(g[4], float(std::max(a, b))) << run.name;
    }
  }
}

TEST(NumberConformance, NanWinsEveryMaximum) {
  std::vector<float> in(2 * number_pairs, std::numeric_limits<float>::quiet_NaN());
  for (size_t i = 0; i < in.size(); ++i)
    if (i % 3) in[i] = float(i);  // pairs: NaN first, NaN second, none
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<float>(run, device(run).functions, in, 5 * number_pairs);
    for (size_t i = 0; i < number_pairs; ++i) {
      if (std::isnan(in[2 * i]) || std::isnan(in[2 * i + 1]))
        EXPECT_TRUE(std::isnan(got[5 * i + 4])) << run.name;
      else
        EXPECT_EQ(got[5 * i + 4], in[2 * i + 1]) << run.name;
    }
  }
}

TEST(NumberConformance, DivisionsAreExactBelow2To63) {
  std::mt19937_64 source(8);
  const int64_t highest = std::numeric_limits<int64_t>::max();
  std::vector<Division> in;
  for (int64_t d : {int64_t(1), int64_t(2), int64_t(3), int64_t(7), int64_t(1) << 31,
                    (int64_t(1) << 32) + 1, (int64_t(1) << 62) + 1, highest})
    for (int64_t n : {int64_t(0), d - 1, d, highest - 1, highest, highest / d * d - 1})
      in.push_back({kernels::device::FastDivisor(d), std::max<int64_t>(n, 0)});
  while (in.size() < size_t(divisions)) {
    const auto d = int64_t(source() >> (1 + source() % 62)) | 1;
    const auto times = int64_t(source() >> (1 + source() % 62)) % (highest / d) + 1;
    in.push_back({kernels::device::FastDivisor(d), d * times - int64_t(source() % 2)});
  }
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<int64_t>(run, device(run).divide, in, 2 * in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      const int64_t n = in[i].n, d = in[i].by.divisor();
      ASSERT_EQ(got[2 * i], n / d) << run.name << ": " << n << " / " << d;
      ASSERT_EQ(got[2 * i + 1], n % d) << run.name << ": " << n << " % " << d;
    }
  }
}

TEST(NumberConformance, SmallDivisionsAreExactBelow2To31) {
  std::mt19937_64 source(10);
  std::vector<SmallDivision> in;
  std::vector<int64_t> divisors;
  const auto add = [&](int64_t d, int64_t n) {
    in.push_back({kernels::device::SmallDivisor(d), int(std::clamp<int64_t>(n, 0, INT32_MAX))});
    divisors.push_back(d);
  };
  for (int64_t d : {int64_t(1), int64_t(2), int64_t(3), int64_t(1) << 30, (int64_t(1) << 30) + 1,
                    int64_t(INT32_MAX), int64_t(1) << 31, int64_t(1) << 40})
    for (int64_t n : {int64_t(0), d - 1, d, 2 * d - 1, INT32_MAX / d * d - 1, int64_t(INT32_MAX)})
      add(d, n);
  while (in.size() < size_t(divisions)) {
    const auto d = int64_t(source() >> (33 + source() % 30)) | 1;
    add(d, d * (int64_t(source() >> (33 + source() % 30)) % (INT32_MAX / d) + 1) -
               int64_t(source() % 2));
  }
  for (const DeviceRun& run : device_runs()) {
    const auto got = probed<int>(run, device(run).divide_small, in, 2 * in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      ASSERT_EQ(got[2 * i], in[i].n / divisors[i]) << run.name << ": " << in[i].n;
      if (divisors[i] <= INT32_MAX) {
        ASSERT_EQ(got[2 * i + 1], in[i].n % divisors[i]) << run.name << ": " << in[i].n;
      }
    }
  }
}

TEST(NumberConformance, RowsAreFoundBeyond2To32) {
  std::mt19937_64 source(9);
  std::vector<View> views(4);
  views[0].shape = {3, 5, 7, 11, 8};
  views[1].shape = {9, 1, 80000, 70000, 8};  // 5e10 rows
  views[2].shape = {2, 40000, 1, 200000, 4};
  views[3].shape = {6, 4, 2, 16};
  views[0].strides = {5 * 616, 616, 88, 8, 1};  // dense
  views[1].strides = {int64_t(1) << 42, 5, int64_t(70001) * 24, 24, 1};
  views[2].strides = {8, int64_t(1) << 33, 3, 16, 1};
  views[3].strides = {-4096, 128, 64, 1};
  std::vector<Row> in;
  std::vector<int64_t> wanted;
  while (in.size() < size_t(rows_found)) {
    const View& v = views[in.size() % views.size()];
    int64_t total = 1, offset = 0;
    for (int a = 0; a < v.shape.rank - 1; ++a) total *= v.shape[a];
    const auto row = int64_t(source() % uint64_t(total));
    int64_t rest = row;
    for (int a = v.shape.rank - 2; a >= 0; rest /= v.shape[a--])
      offset += rest % v.shape[a] * v.stride(a);
    in.push_back({kernels::device::RowIndex(v), row});
    wanted.push_back(offset);
  }
  for (const DeviceRun& run : device_runs())
    EXPECT_EQ(probed<int64_t>(run, device(run).find_rows, in, in.size()), wanted) << run.name;
}

}  // namespace
}  // namespace kinema::test
