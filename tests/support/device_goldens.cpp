#include "tests/support/device_goldens.h"
#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <span>
#include "kernels/base/half.h"
#include "tests/conformance_tensor_core_device_test.h"
#include "tests/conformance_tma_device_test.h"
#include "tests/conformance_wgmma_device_test.h"
#include "tests/support/conformance.h"
#include "tests/support/tile_cases.h"

namespace kinema::test {

namespace {

using kernels::bf16, kernels::f16;

template <class T>
std::vector<int64_t> integers(const std::vector<T>& from) {
  std::vector<int64_t> to;
  for (const T v : from) to.push_back(int64_t(v));
  return to;
}
std::vector<int64_t> bits(const std::vector<float>& from) {
  std::vector<int64_t> to;
  for (const float v : from) to.push_back(std::bit_cast<uint32_t>(v));
  return to;
}

// Products by the threads of a warp. No place in a matrix is taken for known: registers hold
// numbers, and what comes out tells where these lay.

template <class T>
uint32_t register_of(float low, float high) {
  if constexpr (sizeof(T) == 4)
    return std::bit_cast<uint32_t>(low);
  else
    return T(low).bits | uint32_t(T(high).bits) << 16;
}

template <class T, class Draw>
std::vector<MmaInput> mma_input(Draw draw) {
  std::vector<MmaInput> in(1);
  for (int lane = 0; lane < 32; ++lane) {
    const auto next = [&] {
      const float low = draw();
      return register_of<T>(low, draw());
    };
    std::generate(in[0].a[lane], in[0].a[lane] + 4, next);
    std::generate(in[0].b[lane], in[0].b[lane] + 2, next);
    std::generate(in[0].c[lane], in[0].c[lane] + 4, draw);
  }
  return in;
}

template <class T>
void add_products(const DeviceRun& run, const std::string& type, Probe probe,
                  std::vector<Golden>& all) {
  std::mt19937 source(1);
  const auto exact = mma_input<T>([&] { return float(int(source() % 17) - 8); });  // sums are exact
  all.push_back({"mma." + type, integers(probed<float>(run, probe, exact, 128))});
  // Uniform in [-1, 1). A sum's 17 terms are cut some 24 bits below the largest: 17 * 2^-24, and as
  // much for what the sum is smaller than its terms.
  const auto rough = mma_input<T>([&] { return float(int32_t(source())) * 0x1p-31f; });
  all.push_back({"mma." + type + ".rounding", bits(probed<float>(run, probe, rough, 128)), 2e-6});
}

void add_matrices(const DeviceRun& run, const TensorCoreConformance& d, std::vector<Golden>& all) {
  std::vector<MatrixInput> in(1);
  for (int i = 0; i < 64 * 8; ++i) in[0].lines[i / 8][i % 8] = uint16_t(i);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    in[0].line[lane] = lane * 37 % 64;  // no two the same
    for (uint32_t i = 0; i < 4; ++i) in[0].registers[lane][i] = 0x10000 * (2 * i + 1) + 2 * i;
    for (uint32_t& r : in[0].registers[lane]) r += 0x80008 * lane;
  }
  for (size_t i = 0; i < 3; ++i) {
    const std::string count = std::to_string(1 << i);
    const auto add = [&](const std::string& name, const auto& got) {
      all.push_back({name + count, integers(got)});
    };
    add("ldmatrix.x", probed<uint32_t>(run, d.ldmatrix[i], in, 128));
    add("ldmatrix.trans.x", probed<uint32_t>(run, d.ldmatrix_trans[i], in, 128));
    if (!has_sm90(run)) continue;
    add("stmatrix.x", probed<uint16_t>(run, d.stmatrix[i], in, 512));
    add("stmatrix.trans.x", probed<uint16_t>(run, d.stmatrix_trans[i], in, 512));
  }
}

// Tiles of TMA: for each element as it lies in shared memory its number in the tensor from 1 on, 0
// where the tile is outside. Bytes, of which there are too few kinds, are what they are.

template <class T>
std::vector<int64_t> tile_of(const DeviceRun& run, const TmaConformance& d, const TileCase& c) {
  const T first = sizeof(T) == 1 ? T(0) : T(0x400);
  std::vector<T> tensor(size_t(c.tensor_bytes()) / sizeof(T));
  for (size_t i = 0; i < tensor.size(); ++i) tensor[i] = T(first + 1 + i % 0xf0f0);
  const auto load = [&](Stream s, const void* in, void* out) { d.load(s, c, in, out); };
  std::vector<int64_t> places;
  for (const T v : probed<T>(run, load, tensor, size_t(c.tile_bytes()) / sizeof(T)))
    places.push_back(v == 0 ? 0 : int64_t(v) - first);
  return places;
}

void add_tiles(const DeviceRun& run, const TmaConformance& d, std::span<const TileCase> cases,
               const std::string& kind, std::vector<Golden>& all) {
  for (const TileCase& c : cases) {
    const int64_t size = size_of(c.type);
    all.push_back({kind + c.name, size == 1   ? tile_of<uint8_t>(run, d, c)
                                  : size == 2 ? tile_of<uint16_t>(run, d, c)
                                              : tile_of<uint32_t>(run, d, c)});
  }
}

// What wgmma reads by a descriptor: a * identity, twice: the numbers of a's elements by their low
// and high bytes, which bf16 holds.

constexpr uint32_t elements = 16 << 10;  ///< of an image: more than any of these operands reaches

std::vector<int64_t> read_once(const DeviceRun& run, const WgmmaConformance& d, WgmmaReading r,
                               bool mn_major, uint32_t divisor) {
  r.identity = elements * 2;
  r.image_bytes = r.identity + 512;
  std::vector<char> in(sizeof r + r.image_bytes, 0);
  std::memcpy(in.data(), &r, sizeof r);
  std::vector<uint16_t> image(r.image_bytes / 2, 0);
  for (uint32_t i = 0; i < elements; ++i) image[i] = bf16(float(i / divisor % 256)).bits;
  // [n][k] in core matrices of 8 x 16 bytes: both halves of k, then the next 8 n.
  for (uint32_t n = 0; n < 16; ++n)
    image[elements + n % 8 * 8 + n / 8 * 128 + n % 8 + n / 8 * 64] = bf16(1.0f).bits;
  std::memcpy(in.data() + sizeof r, image.data(), r.image_bytes);
  const auto probe = [&](Stream s, const void* source, void* out) {
    d.reading[mn_major](s, source, int64_t(r.image_bytes), out);
  };
  const auto got = probed<float>(run, probe, in, 128 * 8);
  std::vector<int64_t> matrix(64 * 16);
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t thread = i / 8, lane = thread % 32, e = i % 8;
    const size_t row = thread / 32 * 16 + lane / 4 + 8 * (e / 2 % 2);
    matrix[row * 16 + 8 * (e / 4) + lane % 4 * 2 + e % 2] = int64_t(got[i]);
  }
  return matrix;
}

/// K-major: of rows 0 to 15 the chunks of 16 bytes, two each, by their number in the image.
/// MN-major: of each k the chunks of rows 0 to 63, eight each. -1: no chunk as it lies there.
std::vector<int64_t> chunks_read(const DeviceRun& run, const WgmmaConformance& d,
                                 const WgmmaReading& r, bool mn_major) {
  std::vector<int64_t> a = read_once(run, d, r, mn_major, 1);
  const std::vector<int64_t> high = read_once(run, d, r, mn_major, 256);
  for (size_t i = 0; i < a.size(); ++i) a[i] += 256 * high[i];
  const size_t step = mn_major ? 16 : 1;  // from one element of a chunk to the next
  std::vector<int64_t> chunks;
  for (size_t i = 0; i < (mn_major ? 128u : 32u); ++i) {
    const size_t first = mn_major ? i / 8 + i % 8 * 8 * 16 : i * 8;
    bool whole = a[first] % 8 == 0;
    for (size_t e = 1; e < 8; ++e) whole = whole && a[first + e * step] == a[first] + int64_t(e);
    chunks.push_back(whole ? a[first] / 8 : -1);
  }
  return chunks;
}

void add_readings(const DeviceRun& run, const WgmmaConformance& d, std::vector<Golden>& all) {
  const auto add = [&](const std::string& name, const WgmmaReading& r, bool mn_major = false) {
    all.push_back({"wgmma.reads " + name, chunks_read(run, d, r, mn_major)});
  };
  for (uint32_t swizzle = 1; swizzle <= 3; ++swizzle) {
    const uint32_t span = 16u << swizzle;
    const std::string name = std::to_string(span) + " B";
    // Base offsets, from each row of a pattern on.
    for (uint32_t base = 0; base < 8; ++base)
      for (uint32_t row = 0; row < 8; ++row)
        if (base < 1u << swizzle || row == 0)
          add(name + ", base " + std::to_string(base) + ", row " + std::to_string(row),
              {.swizzle = swizzle, .start = row * span, .stride = 8 * span, .base_offset = base});
    // The steps of k within a row; rows whose groups of eight do not lie on patterns, as in a halo.
    for (uint32_t row = 0; row < 8; ++row) {
      for (uint32_t k = 32; k < span; k += 32)
        add(name + ", k at " + std::to_string(k) + ", row " + std::to_string(row),
            {.swizzle = swizzle, .start = row * span + k, .stride = 8 * span});
      add(name + ", 9 rows apart, row " + std::to_string(row),
          {.swizzle = swizzle, .start = row * span, .stride = 9 * span});
      add(name + ", MN-major, row " + std::to_string(row),
          {.swizzle = swizzle, .start = row * span, .leading = 32 * span, .stride = 8 * span},
          true);
    }
  }
  add("no swizzle", {.leading = 128, .stride = 256});
  add("no swizzle, from a row between", {.start = 48, .leading = 2048, .stride = 144});
  add("no swizzle, MN-major", {.leading = 1024, .stride = 128}, true);
}

}  // namespace

std::vector<Golden> goldens_of(const DeviceRun& run) {
  std::vector<Golden> all;
  const TensorCoreConformance& cores =
      device_of(run, &tensor_core_conformance_cuda, &tensor_core_conformance_emulated);
  add_products<bf16>(run, "bf16", cores.mma_bf16, all);
  add_products<f16>(run, "f16", cores.mma_f16, all);
  add_products<float>(run, "tf32", cores.mma_tf32, all);
  add_matrices(run, cores, all);
  if (!has_sm90(run)) return all;
  const TmaConformance& tma = device_of(run, &tma_conformance_cuda, &tma_conformance_emulated);
  add_tiles(run, tma, tile_boxes, "tma ", all);
  add_tiles(run, tma, tile_steps, "tma ", all);
  add_tiles(run, tma, tile_pixels, "tma.im2col ", all);
  add_readings(run, device_of(run, &wgmma_conformance_cuda, &wgmma_conformance_emulated), all);
  return all;
}

}  // namespace kinema::test
