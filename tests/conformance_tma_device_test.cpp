#include "tests/conformance_tma_device_test.h"
#include <cstring>
#include <functional>
#include "kernels/base/half.h"
#include "tests/support/conformance.h"
#include "tests/support/tile_cases.h"

// Source of what is expected: PTX ISA 9.0, "Tensors" (bounding box, out-of-bounds, im2col mode,
// traversal strides, swizzling modes); CUDA driver API, cuTensorMapEncodeTiled and -Im2col. Corners
// are counted width, height, depth, as CUTLASS passes them.

namespace kinema::test {
namespace {

const TmaConformance& device(const DeviceRun& run) {
  return device_of(run, &tma_conformance_cuda, &tma_conformance_emulated);
}

using Bytes = std::vector<char>;
using Index = std::array<int64_t, 5>;

constexpr Dtype f32 = Dtype::f32, bf16 = Dtype::bf16, f16 = Dtype::f16, u8 = Dtype::u8;

/// Numbers that tell their place, none of them 0, infinite or NaN.
Bytes numbered(Dtype type, int64_t bytes) {
  Bytes b(static_cast<size_t>(bytes));
  for (size_t i = 0; i < b.size() / size_t(size_of(type)); ++i) {
    const auto word = uint32_t(0x3f800000u + i);
    const auto half = uint16_t(0x400 + i % 0x6000);
    const auto byte = uint8_t(1 + i % 255);
    if (type == f32)
      std::memcpy(&b[4 * i], &word, 4);
    else if (type == u8)
      std::memcpy(&b[i], &byte, 1);
    else
      std::memcpy(&b[2 * i], &half, 2);
  }
  return b;
}

/// Where the byte lies in shared memory that would lie at `i` without a swizzle.
int64_t swizzled_place(int mode, int64_t i) {
  const int64_t line = i / 128, chunk = i / 16 % 8, lines = int64_t(1) << mode;
  return line * 128 + (chunk ^ (line % lines)) * 16 + i % 16;
}

/// f(index in the tensor, byte of the tile in shared memory) for each element of the tile.
using Each = std::function<void(const Index&, int64_t)>;

void each_of_box(const TileCase& c, const Each& f) {
  int64_t place = 0;
  Index extent{1, 1, 1, 1, 1}, i{};
  for (int a = 0; a < c.rank; ++a) extent[size_t(a)] = a ? c.extent(a) : c.box[0];
  for (i[4] = 0; i[4] < extent[4]; ++i[4])
    for (i[3] = 0; i[3] < extent[3]; ++i[3])
      for (i[2] = 0; i[2] < extent[2]; ++i[2])
        for (i[1] = 0; i[1] < extent[1]; ++i[1])
          for (i[0] = 0; i[0] < extent[0]; ++i[0], place += size_of(c.type)) {
            Index at{};
            for (size_t a = 0; a < size_t(c.rank); ++a)
              at[a] = c.at[a] + i[a] * (a ? c.step[a] : 1);
            f(at, swizzled_place(c.swizzle, place));
          }
}

/// Pixels follow one another within the bounding box, width first; the filter's offset is added to
/// each.
void each_of_pixels(const TileCase& c, const Each& f) {
  Index pixel{};
  std::copy(c.at, c.at + 5, pixel.begin());
  const auto clip = size_t(c.rank - 1);
  int64_t place = 0;
  for (int p = 0; p < c.pixels; ++p) {
    for (int channel = 0; channel < c.channels; ++channel, place += size_of(c.type)) {
      Index at = pixel;
      at[0] += channel;
      for (size_t a = 1; a < clip; ++a) at[a] += c.offset[a - 1];
      f(at, swizzled_place(c.swizzle, place));
    }
    for (size_t a = 1; a <= clip; ++a) {
      pixel[a] += a < clip ? c.step[a] : 1;
      if (a == clip || pixel[a] <= c.size[a] - 1 + c.upper[a - 1]) break;
      pixel[a] = c.lower[a - 1];
    }
  }
}

void each_of_tile(const TileCase& c, const Each& f) {
  c.im2col() ? each_of_pixels(c, f) : each_of_box(c, f);
}

/// The byte of the tensor where the element lies; -1 outside of it.
int64_t place_in_tensor(const TileCase& c, const Index& at) {
  int64_t place = 0;
  for (int a = 0; a < c.rank; ++a) {
    if (at[size_t(a)] < 0 || at[size_t(a)] >= c.size[a]) return -1;
    place += at[size_t(a)] * c.stride(a);
  }
  return place;
}

void expect_loaded(const DeviceRun& run, const TileCase& c) {
  const Bytes tensor = numbered(c.type, c.tensor_bytes());
  Bytes wanted(size_t(c.tile_bytes()), 0);
  each_of_tile(c, [&](const Index& at, int64_t place) {
    const int64_t from = place_in_tensor(c, at);
    if (from >= 0) std::memcpy(&wanted[size_t(place)], &tensor[size_t(from)], size_of(c.type));
  });
  const auto load = [&](Stream s, const void* in, void* out) { device(run).load(s, c, in, out); };
  EXPECT_TRUE(probed<char>(run, load, tensor, wanted.size()) == wanted)
      << run.name << ": " << c.name;
}

TEST(TmaConformance, TilesAreLoadedWithZerosOutside) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    for (const TileCase& c : tile_boxes) expect_loaded(run, c);
  }
}

TEST(TmaConformance, TilesTakeEveryStepthElement) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    for (const TileCase& c : tile_steps) expect_loaded(run, c);
  }
}

TEST(TmaConformance, Im2colWalksPixelsWithinTheBoundingBox) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    for (const TileCase& c : tile_pixels) expect_loaded(run, c);
  }
}

void expect_stored(const DeviceRun& run, const TileCase& c) {
  const Bytes tile = numbered(c.type, c.tile_bytes());
  Bytes wanted(size_t(c.tensor_bytes()), char(0xff));
  each_of_tile(c, [&](const Index& at, int64_t place) {
    const int64_t to = place_in_tensor(c, at);
    if (to >= 0) std::memcpy(&wanted[size_t(to)], &tile[size_t(place)], size_of(c.type));
  });
  const auto store = [&](Stream s, const void* in, void* out) { device(run).store(s, c, in, out); };
  EXPECT_TRUE(probed<char>(run, store, tile, wanted.size()) == wanted)
      << run.name << ": " << c.name;
}

TEST(TmaConformance, StoresWriteWhatLiesInside) {
  // Rows of pixels without offsets: the bounding box is within the tensor.
  const TileCase rows = {.name = "pixels",
                         .rank = 5,
                         .size = {48, 5, 4, 3, 2},
                         .pitch = 48,
                         .swizzle = 3,
                         .at = {0, 2, 1, 0, 0},
                         .lower = {0, 1, 0},
                         .upper = {-1, 0, 0},
                         .channels = 64,
                         .pixels = 70};
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    for (const TileCase& c : tile_boxes) expect_stored(run, c);
    expect_stored(run, rows);
  }
}

template <class T>
void expect_added(const DeviceRun& run, Dtype type) {
  TileCase c = {.type = type, .rank = 2, .size = {40, 9}, .pitch = 48, .at = {-2, 3}};
  c.box[0] = 16 * 4 / int(sizeof(T));
  c.box[1] = 8;
  c.swizzle = 2;
  Bytes tile(size_t(c.tile_bytes())), wanted(size_t(c.tensor_bytes()), 0);
  for (size_t i = 0; i < tile.size() / sizeof(T); ++i) {
    const T value(float(i % 61) - 30);
    std::memcpy(&tile[i * sizeof(T)], &value, sizeof(T));
  }
  each_of_tile(c, [&](const Index& at, int64_t place) {
    T value;
    std::memcpy(&value, &tile[size_t(place)], sizeof(T));
    const int64_t to = place_in_tensor(c, at);
    const T sum(3 * float(value));
    if (to >= 0) std::memcpy(&wanted[size_t(to)], &sum, sizeof(T));
  });
  const auto add = [&](Stream s, const void* in, void* out) { device(run).add(s, c, in, out); };
  EXPECT_TRUE(probed<char>(run, add, tile, wanted.size()) == wanted) << run.name << ": " << type;
}

TEST(TmaConformance, StoresAddUp) {
  for (const DeviceRun& run : device_runs()) {
    if (!has_sm90(run)) continue;
    expect_added<float>(run, f32);
    expect_added<kernels::bf16>(run, bf16);
    expect_added<kernels::f16>(run, f16);
  }
}

}  // namespace
}  // namespace kinema::test
