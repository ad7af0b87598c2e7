#pragma once
#include <array>
#include <cstdint>

namespace kinema::kernels {

/// Philox4x32-10: four random words from a counter and a key, without state, so that recomputation,
/// resume and any order of threads draw the same numbers.
/// Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011, section 3.3.
constexpr std::array<uint32_t, 4> philox(uint64_t counter, uint64_t key, uint64_t stream = 0) {
  std::array<uint32_t, 4> c{uint32_t(counter), uint32_t(counter >> 32), uint32_t(stream),
                            uint32_t(stream >> 32)};
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t(0xD2511F53u) * c[0], b = uint64_t(0xCD9E8D57u) * c[2];
    c = {uint32_t(b >> 32) ^ c[1] ^ k0, uint32_t(b), uint32_t(a >> 32) ^ c[3] ^ k1, uint32_t(a)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// The stream of draw number `call` at `place` in `step`: what tells one mask from all others of a
/// training, and draws it again.
constexpr uint64_t stream_of_draw(uint64_t call, uint64_t step, uint64_t place) {
  const auto words = philox(call, step, place);
  return uint64_t(words[0]) << 32 | words[1];
}

/// [0, 1) with 24 bits.
constexpr float unit_float(uint32_t word) { return float(word >> 8) * 0x1p-24f; }

}  // namespace kinema::kernels
