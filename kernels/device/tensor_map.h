#pragma once
#include "kernels/base/dtype.h"
#include "kernels/device/swizzle.h"

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// What tma.h's instructions read of a tensor in global memory and of the tiles that they copy. A
/// kernel takes it by value, as `const __grid_constant__ TensorMap`.
struct alignas(64) TensorMap {
  uint64_t words[16];
};
static_assert(sizeof(TensorMap) == 128);

/// A tensor whose tiles are boxes. Axes are counted from the innermost, axis 0, whose elements lie
/// side by side. Elements of a box outside of the tensor are read as 0 and not written.
struct TiledTensor {
  const void* data = nullptr;  ///< on a multiple of 16 bytes
  Dtype type = Dtype::bf16;
  int rank = 0;            ///< 1 to 5
  int64_t size[5] = {};    ///< each 1 to 2^32
  int64_t stride[5] = {};  ///< bytes, multiples of 16 below 2^40; [0] is not read
  int box[5] = {};         ///< each 1 to 256; axis 0 a multiple of 16 bytes within the span
  /// Steps through the tensor, 1 to 8: a box holds every step-th element, box/step of them rounded
  /// up. [0] is not read.
  int step[5] = {1, 1, 1, 1, 1};
  Swizzle swizzle = Swizzle::none;
};

/// A tensor of axes channels, (width, (height, (depth,))) clips whose tiles are `pixels` rows of
/// `channels` elements: of pixels that lie one behind the other in the bounding box, from
/// `lower` to size - 1 + `upper` in each direction, in steps of `step`; rows, frames and clips end
/// within a tile. Convolutions of filter k, padding p, dilation d: lower = -p, upper = p - (k-1)*d,
/// step their stride; a load says which element of the filter it wants. For strides above 1
/// upper = (outputs - 1) * step + 1 - size - p gives exactly the outputs.
/// Source: CUDA driver API, cuTensorMapEncodeIm2col; CUTLASS conv/collective/detail.hpp. The arrays
/// lower and upper begin with width, as PTX counts axes; the driver's text says the reverse.
struct Im2colTensor {
  const void* data = nullptr;
  Dtype type = Dtype::bf16;
  int rank = 0;  ///< 3, 4, 5
  int64_t size[5] = {}, stride[5] = {};
  /// Width, height, depth: rank 3 -2^15 to 2^15-1, rank 4 -128 to 127, rank 5 -16 to 15.
  int lower[3] = {}, upper[3] = {};
  int channels = 0, pixels = 0;  ///< up to 256, within the span, a multiple of 16 bytes; up to 1024
  int step[5] = {1, 1, 1, 1, 1};  ///< of the axes of `size`
  Swizzle swizzle = Swizzle::none;
};

/// On the host. Errors, as Error: each limit above; a GPU below compute capability 9.0.
TensorMap tensor_map(const TiledTensor&);
TensorMap tensor_map(const Im2colTensor&);

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
