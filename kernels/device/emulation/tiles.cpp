#include "kernels/device/emulation/tiles.h"
#include <algorithm>
#include <cstring>
#include <mutex>
#include "kernels/base/half.h"
#include "kernels/device/emulation/in_flight.h"

namespace kinema::kernels::device::emulation {

namespace {

/// A row of a tile: elements [first, first + count) of it are the tensor's, from `data` on.
struct Row {
  size_t offset;  ///< bytes, in the tile, before the swizzle
  int64_t first, count;
  char* data;
};

/// The row of `at` that starts at element at[0] of axis 0.
Row row_at(const EncodedMap& m, const int64_t (&at)[5], size_t offset) {
  const int64_t inner = m.box[0];
  Row row{offset, std::clamp<int64_t>(-at[0], 0, inner), 0, m.data};
  for (int k = 1; k < m.rank; ++k) {
    if (at[k] < 0 || at[k] > int64_t(m.last[k])) return row;
    row.data += at[k] * m.stride[k];
  }
  const int64_t end = std::clamp<int64_t>(int64_t(m.last[0]) + 1 - at[0], row.first, inner);
  row.count = end - row.first;
  row.data += (at[0] + row.first) * m.stride[0];
  return row;
}

int64_t steps(const EncodedMap& m, int axis) {
  return axis == 0 ? m.box[0] : (m.box[axis] + m.step[axis] - 1) / m.step[axis];
}

template <class F>
void each_row_of_box(const EncodedMap& m, const TensorCopy& c, F f) {
  const size_t row_bytes = size_t(m.box[0] * m.stride[0]);
  int64_t i[5] = {}, at[5] = {};
  for (size_t offset = 0;; offset += row_bytes) {
    for (int k = 0; k < m.rank; ++k) at[k] = c.at[k] + i[k] * m.step[k];
    f(row_at(m, at, offset));
    int k = 1;
    while (k < m.rank && ++i[k] == steps(m, k)) i[k++] = 0;
    if (k >= m.rank) return;
  }
}

/// Pixels follow each other within the bounding box, and those that a row holds are `offset` away.
template <class F>
void each_pixel(const EncodedMap& m, const TensorCopy& c, F f) {
  const size_t row_bytes = size_t(m.box[0] * m.stride[0]);
  const int last = m.rank - 1;
  int64_t pixel[5] = {};
  std::copy_n(c.at, m.rank, pixel);
  for (size_t p = 0; p < m.pixels; ++p) {
    int64_t at[5];
    std::copy_n(pixel, 5, at);
    for (int k = 1; k < last; ++k) at[k] += c.offset[k - 1];
    f(row_at(m, at, p * row_bytes));
    int k = 1;
    for (; k < last; ++k) {
      pixel[k] += m.step[k];
      if (pixel[k] <= int64_t(m.last[k]) + m.upper[k - 1]) break;
      pixel[k] = m.lower[k - 1];
    }
    if (k == last) ++pixel[last];
  }
}

template <class F>
void each_row(const EncodedMap& m, const TensorCopy& c, F f) {
  if (m.pixels)
    each_pixel(m, c, f);
  else
    each_row_of_box(m, c, f);
}

/// Where byte `offset` of a tile lies in its shared memory: the swizzle is one of addresses.
size_t place_of(const EncodedMap& m, uint32_t shared, size_t offset) {
  const size_t address = local(shared) + offset;
  const size_t moved = address ^ ((address >> 7 & (m.span / 16u - 1)) << 4);
  return moved - local(shared);
}

void check_im2col(const EncodedMap& m, const TensorCopy& c, const char* name) {
  const int limit = m.rank == 3 ? 65535 : m.rank == 4 ? 255 : 31;
  for (int k = 1; k < m.rank - 1; ++k) {
    const int offset = c.offset[k - 1];
    if (offset < 0 || offset > limit)
      fail("%s: expected offsets from 0 to %d, got %d along axis %d", name, limit, offset, k);
    const int64_t low = m.lower[k - 1], high = int64_t(m.last[k]) + m.upper[k - 1];
    if (c.at[k] < low || c.at[k] > high)
      fail("%s: expected a first pixel within the bounding box, %lld to %lld, got %d along axis %d",
           name, static_cast<long long>(low), static_cast<long long>(high), c.at[k], k);
  }
}

template <class T>
void add_row(char* to, const char* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    T sum, more;
    std::memcpy(&sum, to + i * int64_t(sizeof(T)), sizeof(T));
    std::memcpy(&more, from + i * int64_t(sizeof(T)), sizeof(T));
    if constexpr (sizeof(T) == 2)
      sum = T(float(sum) + float(more));
    else
      sum = T(sum + more);
    std::memcpy(to + i * int64_t(sizeof(T)), &sum, sizeof(T));
  }
}

void add_row(Dtype type, char* to, const char* from, int64_t count) {
  static std::mutex lock;  // other blocks run on other threads of the host
  const std::lock_guard guard(lock);
  if (type == Dtype::f32) add_row<float>(to, from, count);
  if (type == Dtype::bf16) add_row<bf16>(to, from, count);
  if (type == Dtype::f16) add_row<f16>(to, from, count);
  if (type == Dtype::i32) add_row<uint32_t>(to, from, count);
}

constexpr size_t longest_row = 256 * 8;

}  // namespace

EncodedMap map_at(const void* map, const char* name) {
  EncodedMap m;
  std::memcpy(&m, map, sizeof m);
  if (m.mark != map_mark) fail("%s: expected a tensor map, got other memory", name);
  if (reinterpret_cast<uintptr_t>(map) % 64)
    fail("%s: expected a tensor map on a multiple of 64 bytes, got %p", name, map);
  return m;
}

EncodedMap map_of(const TensorCopy& c, const char* name) {
  const EncodedMap m = map_at(c.map, name);
  if (m.rank != c.rank)
    fail("%s: expected %d coordinates, as the tensor map has, got %d", name, m.rank, c.rank);
  if (c.im2col != (m.pixels != 0))
    fail("%s: expected %s map", name, c.im2col ? "an im2col" : "a tiled");
  if (c.im2col) check_im2col(m, c, name);
  return m;
}

size_t tile_bytes(const EncodedMap& m) {
  int64_t bytes = m.stride[0] * m.box[0] * (m.pixels ? m.pixels : 1);
  for (int k = 1; k < m.rank && !m.pixels; ++k) bytes *= steps(m, k);
  return size_t(bytes);
}

size_t tile_room(const EncodedMap& m) { return (tile_bytes(m) + m.span - 1) / m.span * m.span; }

void check_tile(const EncodedMap& m, const TensorCopy& c, race::Kind kind) {
  each_row(m, c, [&](const Row& row) {
    if (row.count) check_copied(row.data, size_t(row.count * m.stride[0]), kind);
  });
}

void check_addable(const EncodedMap& m) {
  const Dtype t = m.type;
  if (t != Dtype::f32 && t != Dtype::bf16 && t != Dtype::f16 && t != Dtype::i32)
    fail("tma_store_add: expected a map of f32, bf16, f16 or i32");
}

void load_tile(const EncodedMap& m, const TensorCopy& c, char* tile) {
  const size_t row_bytes = size_t(m.box[0] * m.stride[0]);
  each_row(m, c, [&](const Row& row) {
    char buffer[longest_row] = {};
    const size_t first = size_t(row.first * m.stride[0]);
    if (row.count) std::memcpy(buffer + first, row.data, size_t(row.count * m.stride[0]));
    for (size_t b = 0; b < row_bytes; b += 16)
      std::memcpy(tile + place_of(m, c.shared, row.offset + b), buffer + b, 16);
  });
}

void store_tile(const EncodedMap& m, const TensorCopy& c, const char* tile, bool add) {
  const size_t row_bytes = size_t(m.box[0] * m.stride[0]);
  each_row(m, c, [&](const Row& row) {
    if (!row.count) return;
    char buffer[longest_row];
    for (size_t b = 0; b < row_bytes; b += 16)
      std::memcpy(buffer + b, tile + place_of(m, c.shared, row.offset + b), 16);
    const char* from = buffer + row.first * m.stride[0];
    if (add)
      add_row(m.type, row.data, from, row.count);
    else
      std::memcpy(row.data, from, size_t(row.count * m.stride[0]));
  });
}

void poison_tile(const EncodedMap& m, const TensorCopy& c) {
  each_row(m, c, [&](const Row& row) {
    if (row.count) std::memset(row.data, 0xff, size_t(row.count * m.stride[0]));
  });
}

}  // namespace kinema::kernels::device::emulation
