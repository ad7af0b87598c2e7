#include "kernels/device/emulation/operands.h"
#include <cstring>
#include "kernels/base/half.h"

namespace kinema::kernels::device::emulation {

namespace {

/// A descriptor's fields: see wgmma_descriptor.
struct Descriptor {
  uint32_t start, leading, stride, base_offset, span;

  explicit Descriptor(uint64_t d)
      : start(uint32_t(d & 0x3fff) << 4),
        leading(uint32_t(d >> 16 & 0x3fff) << 4),
        stride(uint32_t(d >> 32 & 0x3fff) << 4),
        base_offset(uint32_t(d >> 49 & 7)),
        span(d >> 62 ? 256u >> (d >> 62) : 16) {}

  /// The address of what would lie at `address` without a swizzle.
  uint32_t swizzled(uint32_t address) const {
    const uint32_t pattern = (address >> 7) - base_offset;
    return address ^ ((pattern & (span / 16 - 1)) << 4);
  }
};

uint32_t k_major_chunk(const Descriptor& d, uint32_t row, uint32_t half) {
  const uint32_t group = d.start + row / 8 * d.stride;
  return d.span == 16 ? group + row % 8 * 16 + half * d.leading
                      : group + row % 8 * d.span + half * 16;
}

/// Eight rows from `row` on, of one k.
uint32_t mn_major_chunk(const Descriptor& d, uint32_t row, uint32_t k) {
  if (d.span == 16) return d.start + k % 8 * 16 + k / 8 * d.leading + row / 8 * d.stride;
  const uint32_t wide = d.span / 2;  // rows that fill the span
  return d.start + k % 8 * d.span + k / 8 * d.stride + row / wide * d.leading + row % wide * 2;
}

}  // namespace

void add_chunks(uint64_t descriptor, int rows, Number type, bool mn_major,
                std::vector<uint32_t>& chunks) {
  const Descriptor d(descriptor);
  const auto add = [&](uint32_t address) {
    chunks.push_back(d.swizzled(address));
    shared_pointer(chunks.back(), 16);
  };
  for (uint32_t row = 0; row < uint32_t(rows) && !mn_major; ++row)
    for (uint32_t half = 0; half < 2; ++half) add(k_major_chunk(d, row, half));
  for (uint32_t k = 0; k < uint32_t(depth_of(type)) && mn_major; ++k)
    for (uint32_t row = 0; row < uint32_t(rows); row += 8) add(mn_major_chunk(d, row, k));
}

void to_floats(Number type, const void* elements, int count, float* values) {
  for (int i = 0; i < count; ++i) {
    if (type == Number::tf32) {
      uint32_t bits;
      std::memcpy(&bits, static_cast<const char*>(elements) + 4 * i, 4);
      values[i] = __builtin_bit_cast(float, bits & 0xffffe000u);
      continue;
    }
    uint16_t bits;
    std::memcpy(&bits, static_cast<const char*>(elements) + 2 * i, 2);
    values[i] = type == Number::bf16 ? float(__builtin_bit_cast(bf16, bits))
                                     : float(__builtin_bit_cast(f16, bits));
  }
}

void read_operand(const std::vector<uint32_t>& chunks, int rows, Number type, bool mn_major,
                  float* m) {
  const int chunk = chunk_of(type);
  const char* arena = current()->home->arena;
  float values[8];
  for (size_t i = 0; i < chunks.size(); ++i) {
    to_floats(type, arena + chunks[i], chunk, values);
    if (mn_major) {
      std::memcpy(m + i * 8, values, sizeof values);
      continue;
    }
    const size_t row = i / 2, k = i % 2 * size_t(chunk);
    for (int e = 0; e < chunk; ++e) m[(k + size_t(e)) * size_t(rows) + row] = values[e];
  }
}

}  // namespace kinema::kernels::device::emulation
