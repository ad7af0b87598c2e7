#pragma once
#include "kernels/device/twin.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// How the 16-byte chunks of a tile are permuted in shared memory, so that eight rows of it meet no
/// bank twice: rows of 32, 64 or 128 bytes, whose chunk i lies where i XOR (row pattern) says. One
/// function for tensor maps, for wgmma's descriptors and for what threads address themselves.
/// Patterns repeat every 256, 512 or 1024 bytes: tiles start on multiples of that.
/// Source: PTX ISA, "Swizzling modes".
enum class Swizzle : uint8_t { none, bytes32, bytes64, bytes128 };

/// Bytes of a row: 16 (no permutation), 32, 64, 128.
KERNELS_BOTH constexpr uint32_t span_of(Swizzle s) { return 16u << uint32_t(s); }

/// Where the byte lies that would lie at `address` without a swizzle; its own inverse.
template <Swizzle S>
KERNELS_BOTH constexpr uint32_t swizzled(uint32_t address) {
  return address ^ ((address >> 7 & (span_of(S) / 16 - 1)) << 4);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
