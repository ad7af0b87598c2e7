#pragma once
#include <vector>
#include "kernels/device/emulation/in_flight.h"

namespace kinema::kernels::device::emulation {

/// Operands of wgmma as matrices of f32.

/// Elements of 16 bytes, and of k that one wgmma takes.
inline int chunk_of(Number type) { return type == Number::tf32 ? 4 : 8; }
inline int depth_of(Number type) { return 2 * chunk_of(type); }

/// Adds to `chunks` the addresses of the 16-byte chunks that hold `rows` rows of a descriptor's
/// operand: K-major, two for each row; MN-major, for each k those of 8 rows each. Ends the launch
/// where one lies outside of shared memory.
void add_chunks(uint64_t descriptor, int rows, Number type, bool mn_major,
                std::vector<uint32_t>& chunks);

/// m[k][row] of those chunks, `rows` floats behind each other.
void read_operand(const std::vector<uint32_t>& chunks, int rows, Number type, bool mn_major,
                  float* m);

/// The f32 values of `count` elements; tf32 loses the bits that the tensor core does not read.
void to_floats(Number type, const void* elements, int count, float* values);

}  // namespace kinema::kernels::device::emulation
