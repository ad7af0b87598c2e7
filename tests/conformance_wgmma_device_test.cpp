#include "tests/conformance_wgmma_device_test.h"
#include <bit>
#include <cstring>
#include <random>
#include "kernels/base/half.h"
#include "tests/support/conformance.h"

// Source of what is expected: PTX ISA 9.0, "Asynchronous warpgroup matrix": register fragments,
// canonical layouts and strides of shared memory; where its words leave room, CUTLASS
// cute/atom/mma_traits_sm90_gmma.hpp, whose layouts these are.

namespace kinema::test {
namespace {

const WgmmaConformance& device(const DeviceRun& run) {
  return device_of(run, &wgmma_conformance_cuda, &wgmma_conformance_emulated);
}

constexpr uint32_t chunk = 16;  ///< bytes: a row of a core matrix

int element_bytes(WgmmaVariant::Type t) { return t == WgmmaVariant::tf32 ? 4 : 2; }
int step_depth(WgmmaVariant::Type t) { return 32 / element_bytes(t); }

/// An operand [rows][K] in shared memory.
struct Operand {
  OperandPlace place{};
  bool mn_major = false;
  uint32_t element = 2, bytes = 0;

  /// The canonical layout, with gaps between its parts where the descriptor can say so.
  Operand(WgmmaVariant::Type type, bool mn, int swizzle, uint32_t rows)
      : mn_major(mn), element(uint32_t(element_bytes(type))) {
    const uint32_t span = chunk << swizzle, groups = rows / 8;
    place.swizzle = swizzle;
    if (!swizzle) {  // core matrices of 128 bytes; 8 along K for 16 bits K-major, as for MN-major
      place.stride = mn ? 128 : 9 * 128;
      place.leading = mn ? 128 * (groups + 1) : 128;
      bytes = mn ? 8 * place.leading : groups * place.stride;
      for (uint32_t s = 0; s < wgmma_steps; ++s) place.offset[s] = 2 * s * place.leading;
    } else if (mn) {  // chunks of `span` bytes along M or N, 8 groups of 8 k
      place.stride = 8 * span;
      place.leading = 9 * place.stride;
      bytes = (rows * element + span - 1) / span * place.leading;
      for (uint32_t s = 0; s < wgmma_steps; ++s) place.offset[s] = 2 * s * place.stride;
    } else {  // rows of `span` bytes; what of K does not fit lies behind all rows
      place.stride = 2 * 8 * span;
      place.leading = chunk;
      bytes = groups * place.stride * (128 / span);
      for (uint32_t s = 0; s < wgmma_steps; ++s)
        place.offset[s] = 32 * s % span + 32 * s / span * groups * place.stride;
    }
  }

  /// Where (row, k) of a step lies in the image.
  uint32_t at(uint32_t row, uint32_t step, uint32_t k) const {
    const uint32_t span = chunk << place.swizzle, lanes = chunk / element;
    uint32_t p = place.offset[step];
    if (!mn_major && !place.swizzle)
      p += row % 8 * chunk + row / 8 * place.stride + k % lanes * element +
           k / lanes * place.leading;
    else if (!mn_major)
      p += row % 8 * span + row / 8 * place.stride + k * element;
    else if (!place.swizzle)
      p += row % 8 * element + row / 8 * place.stride + k % 8 * chunk + k / 8 * place.leading;
    else
      p += row % (span / element) * element + row / (span / element) * place.leading +
           k % 8 * span + k / 8 * place.stride;
    const uint32_t line = p / 128, lines = 1u << place.swizzle;
    return p ^ (line % lines) * chunk;
  }
};

using Matrix = std::vector<std::vector<float>>;

/// [rows][K] whose products and sums are exact.
Matrix small_integers(size_t rows, size_t columns, unsigned seed) {
  std::mt19937 source(seed);
  Matrix m(rows, std::vector<float>(columns));
  for (auto& row : m)
    for (float& v : row) v = float(int(source() % 17) - 8);
  return m;
}

uint32_t bits_of(WgmmaVariant::Type type, float v) {
  if (type == WgmmaVariant::tf32) return std::bit_cast<uint32_t>(v);
  return type == WgmmaVariant::bf16 ? kernels::bf16(v).bits : kernels::f16(v).bits;
}

/// The operand's numbers in an image, of which it takes the bytes from `first` on.
void lay_out(std::vector<char>& image, uint32_t first, const Operand& o, WgmmaVariant::Type type,
             const Matrix& m) {
  const auto depth = uint32_t(step_depth(type));
  for (uint32_t row = 0; row < m.size(); ++row)
    for (uint32_t k = 0; k < m[row].size(); ++k) {
      const uint32_t bits = bits_of(type, m[row][k]);
      std::memcpy(&image[sizeof(WgmmaInput) + first + o.at(row, k / depth, k % depth)], &bits,
                  o.element);
    }
}

/// The kernel's input: both operands, each from a multiple of the swizzles' pattern on.
std::vector<char> input_of(WgmmaVariant::Type type, const Operand& a, const Matrix& ma,
                           const Operand& b, const Matrix& mb, bool accumulate) {
  const uint32_t b_first = (a.bytes + 1023) / 1024 * 1024;
  WgmmaInput head{a.place, b.place, accumulate, (b_first + b.bytes + 15) / 16 * 16};
  for (uint32_t& offset : head.b.offset) offset += b_first;
  std::vector<char> in(sizeof head + head.image_bytes, char(0xff));
  std::memcpy(in.data(), &head, sizeof head);
  lay_out(in, 0, a, type, ma);
  lay_out(in, b_first, b, type, mb);
  return in;
}

/// Operand a in registers, [thread][step][4]: each warp holds 16 rows as mma.m16n8k16, or
/// mma.m16n8k8 of tf32, takes them.
std::vector<uint32_t> registers_of(WgmmaVariant::Type type, const Matrix& a) {
  std::vector<uint32_t> all;
  for (size_t thread = 0; thread < 128; ++thread)
    for (size_t step = 0; step < wgmma_steps; ++step)
      for (size_t r = 0; r < 4; ++r) {
        const size_t lane = thread % 32, row = thread / 32 * 16 + lane / 4 + r % 2 * 8;
        if (type == WgmmaVariant::tf32) {
          all.push_back(bits_of(type, a[row][8 * step + lane % 4 + r / 2 * 4]));
        } else {
          const size_t k = 16 * step + lane % 4 * 2 + r / 2 * 8;
          all.push_back(bits_of(type, a[row][k]) | bits_of(type, a[row][k + 1]) << 16);
        }
      }
  return all;
}

/// d as the threads hold it, [thread][N / 2]: the formula of the PTX ISA for the accumulator.
void expect_product(const std::vector<float>& d, const Matrix& a, const Matrix& b, size_t first_k,
                    size_t depth, float before, const std::string& what) {
  const size_t count = b.size() / 2;
  for (size_t i = 0; i < d.size(); ++i) {
    const size_t thread = i / count, lane = thread % 32, e = i % count;
    const size_t row = thread / 32 * 16 + lane / 4 + 8 * (e / 2 % 2);
    const size_t column = 8 * (e / 4) + lane % 4 * 2 + e % 2;
    double wanted = before;
    for (size_t k = first_k; k < first_k + depth; ++k) wanted += double(a[row][k]) * b[column][k];
    ASSERT_EQ(d[i], wanted) << what << ": row " << row << ", column " << column;
  }
}

void expect_variant(const DeviceRun& run, const WgmmaVariant& v, int a_swizzle, int b_swizzle,
                    bool accumulate) {
  const auto depth = size_t(wgmma_steps * step_depth(v.type)), width = size_t(v.width);
  const Matrix a = small_integers(64, depth, 1), b = small_integers(width, depth, 2);
  const std::vector<char> in =
      input_of(v.type, Operand(v.type, v.a_mn_major, a_swizzle, 64), a,
               Operand(v.type, v.b_mn_major, b_swizzle, uint32_t(width)), b, accumulate);
  const std::shared_ptr<void> inside = run.enter();
  const std::vector<uint32_t> registers = registers_of(v.type, a);
  const auto bytes = int64_t(registers.size() * 4);
  const std::shared_ptr<void> on_device(run.runtime->allocate(bytes), run.runtime->release);
  run.runtime->upload({}, registers.data(), on_device.get(), bytes);
  const auto probe = [&](Stream s, const void* source, void* out) {
    v.run(s, source, on_device.get(), int64_t(in.size()), out);
  };
  expect_product(probed<float>(run, probe, in, 64 * width), a, b, 0, depth, accumulate ? 1 : 0,
                 run.name + ": type " + std::to_string(v.type) + ", width " +
                     std::to_string(v.width) + ", swizzles " + std::to_string(a_swizzle) + ", " +
                     std::to_string(b_swizzle));
}

TEST(WgmmaConformance, OperandsLieInTheCanonicalLayouts) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const WgmmaConformance& d = device(run);
    for (int i = 0; i < d.count; ++i)
      for (int swizzles = 0; swizzles < 16; ++swizzles) {
        const int a = swizzles / 4, b = swizzles % 4;
        if ((small() && a != b) || (d.variants[i].a_in_registers && a != 0)) continue;
        expect_variant(run, d.variants[i], a, b, swizzles % 3 == 0);
      }
  }
}

TEST(WgmmaConformance, GroupsEndInTheirOrder) {
  const auto type = WgmmaVariant::bf16;
  const Matrix a = small_integers(64, 64, 3), b = small_integers(16, 64, 4);
  const std::vector<char> in =
      input_of(type, Operand(type, false, 3, 64), a, Operand(type, false, 3, 16), b, false);
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    const auto probe = [&](Stream s, const void* source, void* out) {
      device(run).groups(s, source, int64_t(in.size()), out);
    };
    const auto d = probed<float>(run, probe, in, 2 * 1024);
    expect_product({d.begin(), d.begin() + 1024}, a, b, 0, 16, 0, run.name + ": first group");
    expect_product({d.begin() + 1024, d.end()}, a, b, 16, 16, 0, run.name + ": second group");
  }
}

}  // namespace
}  // namespace kinema::test
