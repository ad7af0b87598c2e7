#pragma once
#include <cstdint>
#include "kernels/base/dtype.h"

namespace kinema::kernels::device::emulation {

/// The words of an emulated TensorMap. Axes are counted from the innermost.
struct EncodedMap {
  uint64_t mark;  ///< tells a map from other memory
  char* data;
  int64_t stride[5];  ///< bytes; [0] those of an element
  uint32_t last[5];   ///< size - 1: a size may be 2^32
  int16_t lower[3], upper[3];
  uint16_t box[5];  ///< im2col: channels, then 1
  uint16_t pixels;  ///< im2col's rows; 0: a tiled map
  uint8_t step[5], rank, span;
  Dtype type;
};
constexpr uint64_t map_mark = 0x70616d726f736e74;  // "tnsormap"

}  // namespace kinema::kernels::device::emulation
