#include "tests/conformance_tensor_core_device_test.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include "kernels/base/half.h"
#include "kernels/device/swizzle.h"
#include "tests/support/conformance.h"

// Source of what is expected: PTX ISA 9.0, "Matrix Fragments for mma.m16n8k16" and "mma.m16n8k8",
// "ldmatrix", "stmatrix", "cvt", "Swizzling modes".

namespace kinema::test {
namespace {

using kernels::bf16, kernels::f16, kernels::device::Swizzle;

const TensorCoreConformance& device(const DeviceRun& run) {
  return device_of(run, &tensor_core_conformance_cuda, &tensor_core_conformance_emulated);
}

struct Place {
  int row, column;
};
// Where element i of a lane's fragment lies: the formulas of the PTX ISA, 16-bit operands first.
Place a16(int lane, int i) {
  const int group = lane >> 2, in_group = lane % 4;
  return {i < 2 || (i >= 4 && i < 6) ? group : group + 8, in_group * 2 + (i & 1) + (i < 4 ? 0 : 8)};
}
Place b16(int lane, int i) { return {lane % 4 * 2 + (i & 1) + (i < 2 ? 0 : 8), lane >> 2}; }
Place a32(int lane, int i) {
  const int group = lane >> 2, in_group = lane % 4;
  return {i == 0 || i == 2 ? group : group + 8, i < 2 ? in_group : in_group + 4};
}
Place b32(int lane, int i) { return {i == 0 ? lane % 4 : lane % 4 + 4, lane >> 2}; }
Place d32(int lane, int i) { return {i < 2 ? lane >> 2 : (lane >> 2) + 8, lane % 4 * 2 + (i & 1)}; }

using Matrix = std::vector<std::vector<float>>;

/// Numbers that any format holds and whose products and sums are exact.
Matrix small_integers(int rows, int columns, unsigned seed) {
  std::mt19937 source(seed);
  Matrix m(static_cast<size_t>(rows), std::vector<float>(size_t(columns)));
  for (auto& row : m)
    for (float& v : row) v = float(int(source() % 17) - 8);
  return m;
}
float at(const Matrix& m, Place p) { return m[size_t(p.row)][size_t(p.column)]; }

/// d = a * b + c in double.
double product(const Matrix& a, const Matrix& b, const Matrix& c, Place p) {
  double sum = at(c, p);
  for (size_t k = 0; k < b.size(); ++k) sum += double(a[size_t(p.row)][k]) * b[k][size_t(p.column)];
  return sum;
}

template <class T>
uint32_t bits_of(float v) {
  if constexpr (sizeof(T) == 4)
    return std::bit_cast<uint32_t>(v);
  else
    return T(v).bits;
}
template <class T>
constexpr int depth = sizeof(T) == 4 ? 8 : 16;  // K of one mma

template <class T>
void set_a(uint32_t (&registers)[4], const Matrix& a, int lane) {
  for (int r = 0; r < 4; ++r)
    if constexpr (sizeof(T) == 4)
      registers[r] = bits_of<T>(at(a, a32(lane, r)));
    else
      registers[r] = bits_of<T>(at(a, a16(lane, 2 * r))) | bits_of<T>(at(a, a16(lane, 2 * r + 1)))
                                                               << 16;
}
template <class T>
void set_b(uint32_t (&registers)[2], const Matrix& b, int lane) {
  for (int r = 0; r < 2; ++r)
    if constexpr (sizeof(T) == 4)
      registers[r] = bits_of<T>(at(b, b32(lane, r)));
    else
      registers[r] = bits_of<T>(at(b, b16(lane, 2 * r))) | bits_of<T>(at(b, b16(lane, 2 * r + 1)))
                                                               << 16;
}

/// d of one mma, [lane][4].
template <class T>
std::vector<float> multiplied(const DeviceRun& run, Probe probe, const Matrix& a, const Matrix& b,
                              const Matrix& c) {
  std::vector<MmaInput> in(1);
  for (int lane = 0; lane < 32; ++lane) {
    set_a<T>(in[0].a[lane], a, lane);
    set_b<T>(in[0].b[lane], b, lane);
    for (int i = 0; i < 4; ++i) in[0].c[lane][i] = at(c, d32(lane, i));
  }
  return probed<float>(run, probe, in, 128);
}

template <class T>
void expect_product(const DeviceRun& run, Probe probe, Probe tile) {
  const Matrix a = small_integers(32, depth<T>, 1), b = small_integers(depth<T>, 24, 2),
               c = small_integers(32, 24, 3);
  const std::vector<float> one = multiplied<T>(run, probe, a, b, c);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(one[size_t(4 * lane + i)], product(a, b, c, d32(lane, i)))
          << run.name << ": lane " << lane << ", element " << i;
  // The tile's parts are the matrices' blocks of 16 rows and of 8 columns.
  std::vector<TileInput> in(1);
  const auto block = [&](int i, int j, Place p) { return Place{16 * i + p.row, 8 * j + p.column}; };
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 2; ++i) {
      set_a<T>(in[0].a[lane][i], Matrix(a.begin() + 16 * i, a.end()), lane);
      for (int j = 0; j < 3; ++j) {
        Matrix columns = b;
        for (auto& row : columns) row.erase(row.begin(), row.begin() + 8 * j);
        set_b<T>(in[0].b[lane][j], columns, lane);
        for (int k = 0; k < 4; ++k) in[0].c[lane][i][j][k] = at(c, block(i, j, d32(lane, k)));
      }
    }
  const auto many = probed<float>(run, tile, in, 32 * 24);
  for (int n = 0; n < 32 * 24; ++n) {
    const Place p = block(n / 12 % 2, n / 4 % 3, d32(n / 24, n % 4));
    EXPECT_EQ(many[size_t(n)], product(a, b, c, p)) << run.name << ": tile, element " << n;
  }
}

TEST(TensorCoreConformance, MmaMultipliesTheFragmentsOfThePtxIsa) {
  for (const DeviceRun& run : device_runs()) {
    expect_product<bf16>(run, device(run).mma_bf16, device(run).tile_bf16);
    expect_product<f16>(run, device(run).mma_f16, device(run).tile_f16);
    expect_product<float>(run, device(run).mma_tf32, device(run).tile_tf32);
  }
}

/// Ones in row 0 of a: d[0][0] is the sum of column 0 of b.
template <class T>
float sum_of(const DeviceRun& run, Probe probe, const std::vector<float>& column) {
  const Matrix zero(16, std::vector<float>(16, 0.0f));
  Matrix a = zero, b = zero;
  for (size_t k = 0; k < column.size(); ++k) a[0][k] = 1, b[k][0] = column[k];
  return multiplied<T>(run, probe, a, b, zero)[0];
}

TEST(TensorCoreConformance, MmaTreatsSpecialNumbersAsIeee754) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const DeviceRun& run : device_runs()) {
    const TensorCoreConformance& d = device(run);
    EXPECT_EQ(sum_of<bf16>(run, d.mma_bf16, {1, inf}), inf) << run.name;
    EXPECT_EQ(sum_of<f16>(run, d.mma_f16, {1, -inf}), -inf) << run.name;
    EXPECT_EQ(sum_of<float>(run, d.mma_tf32, {1, inf}), inf) << run.name;
    EXPECT_TRUE(std::isnan(sum_of<bf16>(run, d.mma_bf16, {inf, -inf}))) << run.name;
    EXPECT_TRUE(std::isnan(sum_of<f16>(run, d.mma_f16, {1, std::nanf("")}))) << run.name;
    // The least subnormal f16 counts, and a product beyond f16's range is none of f32's.
    EXPECT_EQ(sum_of<f16>(run, d.mma_f16, {0x1p-24f}), 0x1p-24f) << run.name;
    EXPECT_EQ(sum_of<f16>(run, d.mma_f16, {65504, 65504}), 131008) << run.name;
  }
}

TEST(TensorCoreConformance, Tf32KeepsTenBits) {
  for (const DeviceRun& run : device_runs()) {
    // What does not fit into 10 bits is lost, one way or the other: cut or rounded.
    const float v = 1 + 0x1.8p-11f, sum = sum_of<float>(run, device(run).mma_tf32, {v});
    EXPECT_TRUE(sum == 1 || sum == 1 + 0x1p-10f) << run.name << ": " << sum;
    EXPECT_EQ(sum_of<float>(run, device(run).mma_tf32, {1 + 0x1p-10f}), 1 + 0x1p-10f) << run.name;
  }
}

/// Numbers of many sizes; then ties of tf32 and of f16, and what is none of the usual numbers.
std::vector<float> values_of_registers() {
  std::mt19937 source(4);
  std::vector<float> in(register_values);
  for (float& v : in) v = std::bit_cast<float>(uint32_t(source()) % 0x0d000000u + 0x3a000000u);
  const uint32_t special[] = {0x3f801000, 0xbf801000, 0x3f803000, 0x3f808000, 0x7f800000,
                              0xff800000, 0x7fc00000, 0xffc01234, 0x7f7fffff, 0x80000000,
                              0x00000001, 0x80001000, 0x007fffff, 0x00003000, 0x33000000};
  for (size_t i = 0; i < std::size(special); ++i) in[i] = std::bit_cast<float>(special[i]);
  return in;
}

/// The nearest multiple of 2^-10 of the power of two below v, ties away from zero: std::round.
float nearest_tf32(float v) {
  if (!std::isfinite(v) || v == 0) return v;
  const double unit = std::ldexp(1.0, std::max(std::ilogb(v), -126) - 10);
  return float(std::round(v / unit) * unit);
}

template <class T>
void expect_pairs(const DeviceRun& run, Probe probe, const std::vector<float>& in) {
  const auto got = probed<uint32_t>(run, probe, in, in.size() / 2);
  for (size_t i = 0; i < in.size(); ++i) {
    const auto bits = uint16_t(got[i / 2] >> i % 2 * 16);
    if (std::isnan(in[i]))
      EXPECT_TRUE(std::isnan(float(std::bit_cast<T>(bits)))) << run.name;
    else
      EXPECT_EQ(bits, T(in[i]).bits) << run.name << ": " << in[i];
  }
}

TEST(TensorCoreConformance, RegistersHoldRoundedNumbers) {
  const std::vector<float> in = values_of_registers();
  for (const DeviceRun& run : device_runs()) {
    expect_pairs<bf16>(run, device(run).register_bf16, in);
    expect_pairs<f16>(run, device(run).register_f16, in);
    const auto tf32 = probed<uint32_t>(run, device(run).tf32, in, in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      const auto got = std::bit_cast<float>(tf32[i] & ~0x1fffu);
      if (std::isnan(in[i]))
        EXPECT_TRUE(std::isnan(got)) << run.name;
      else
        EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(nearest_tf32(in[i])))
            << run.name << ": " << in[i];
    }
  }
}

/// Lanes name lines in an order of their own.
MatrixInput matrices() {
  MatrixInput in{};
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 8; ++j) in.lines[i][j] = uint16_t(0x100 * i + j);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    in.line[lane] = (lane * 7 + 3) % 64;
    for (uint32_t i = 0; i < 4; ++i)
      in.registers[lane][i] = (0x8000 + 64 * i + 2 * lane) | (0x8001 + 64 * i + 2 * lane) << 16;
  }
  return in;
}

TEST(TensorCoreConformance, LdmatrixSpreadsRows) {
  const MatrixInput in = matrices();
  for (const DeviceRun& run : device_runs())
    for (size_t n = 0; n < 3; ++n) {
      const auto rows = probed<uint32_t>(run, device(run).ldmatrix[n], std::vector{in}, 128);
      const auto columns =
          probed<uint32_t>(run, device(run).ldmatrix_trans[n], std::vector{in}, 128);
      for (uint32_t lane = 0; lane < 32; ++lane)
        for (uint32_t m = 0; m < 4; ++m) {
          const auto element = [&](uint32_t row, uint32_t column) {
            return uint32_t(in.lines[in.line[8 * m + row]][column]);
          };
          const uint32_t r = lane / 4, c = lane % 4 * 2;
          const bool loaded = m < 1u << n;
          EXPECT_EQ(rows[4 * lane + m], loaded ? element(r, c) | element(r, c + 1) << 16 : ~0u)
              << run.name << ": " << n << ", lane " << lane << ", matrix " << m;
          EXPECT_EQ(columns[4 * lane + m], loaded ? element(c, r) | element(c + 1, r) << 16 : ~0u)
              << run.name << ": transposed, " << n << ", lane " << lane << ", matrix " << m;
        }
    }
}

/// The lines after stmatrix of `count` matrices.
std::vector<uint16_t> stored(const MatrixInput& in, uint32_t count, bool transposed) {
  std::vector<uint16_t> lines(&in.lines[0][0], &in.lines[0][0] + 512);
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t m = 0; m < count; ++m)
      for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t r = lane / 4, c = lane % 4 * 2 + half;
        const auto value = uint16_t(in.registers[lane][m] >> 16 * half);
        const uint32_t row = transposed ? c : r, column = transposed ? r : c;
        lines[in.line[8 * m + row] * 8 + column] = value;
      }
  return lines;
}

TEST(TensorCoreConformance, StmatrixIsTheWayBack) {
  const MatrixInput in = matrices();
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    for (size_t n = 0; n < 3; ++n) {
      const TensorCoreConformance& d = device(run);
      EXPECT_EQ(probed<uint16_t>(run, d.stmatrix[n], std::vector{in}, 512),
                stored(in, 1u << n, false))
          << run.name << ": " << n;
      EXPECT_EQ(probed<uint16_t>(run, d.stmatrix_trans[n], std::vector{in}, 512),
                stored(in, 1u << n, true))
          << run.name << ": transposed, " << n;
    }
  }
}

TEST(TensorCoreConformance, BanksThatRowsMeetInAreCounted) {
  const DeviceRun& run = device_runs()[0];
  if (run.backend == Backend::cuda) GTEST_SKIP() << "a GPU does not say";
  // Lines of 16 bytes: 8 side by side fill the 32 banks, and every 8th lies in the same four. Of
  // the rows that meet, all but the first count.
  for (uint32_t step : {1u, 2u, 4u, 8u}) {
    MatrixInput in = matrices();
    for (uint32_t lane = 0; lane < 32; ++lane) in.line[lane] = lane % 8 * step;
    const int64_t found = bank_conflicts(
        [&] { probed<uint32_t>(run, device(run).ldmatrix[2], std::vector{in}, 128); });
    EXPECT_EQ(found, 4 * (8 - 8 / step)) << "lines apart: " << step;
  }
}

/// The chunks of 16 bytes in each line of 128, in the order in which they lie: the figures of the
/// PTX ISA's "Swizzling modes".
TEST(TensorCoreConformance, SwizzlesPermuteChunksAsInTheFigures) {
  using kernels::device::swizzled;
  const uint32_t figure[8][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {1, 0, 3, 2, 5, 4, 7, 6},
                                 {2, 3, 0, 1, 6, 7, 4, 5}, {3, 2, 1, 0, 7, 6, 5, 4},
                                 {4, 5, 6, 7, 0, 1, 2, 3}, {5, 4, 7, 6, 1, 0, 3, 2},
                                 {6, 7, 4, 5, 2, 3, 0, 1}, {7, 6, 5, 4, 3, 2, 1, 0}};
  for (uint32_t address = 0; address < 4096; address += 4) {
    const uint32_t line = address / 128, chunk = address / 16 % 8, rest = address % 16;
    const auto wanted = [&](uint32_t lines) {
      return line * 128 + figure[line % lines][chunk] * 16 + rest;
    };
    EXPECT_EQ(swizzled<Swizzle::none>(address), address);
    EXPECT_EQ(swizzled<Swizzle::bytes32>(address), wanted(2));
    EXPECT_EQ(swizzled<Swizzle::bytes64>(address), wanted(4));
    EXPECT_EQ(swizzled<Swizzle::bytes128>(address), wanted(8));
  }
}

}  // namespace
}  // namespace kinema::test
