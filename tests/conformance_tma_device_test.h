#pragma once
#include <cstdint>
#include "kernels/base/backend.h"
#include "kernels/base/dtype.h"

namespace kinema::test {

/// A tensor, its tiles, and the one to copy: what TiledTensor and Im2colTensor hold. `swizzle`: 0
/// none, 1, 2, 3 for 32, 64, 128 bytes.
struct TileCase {
  const char* name = "";
  kernels::Dtype type = kernels::Dtype::bf16;
  int rank = 0;
  int64_t size[5] = {};
  int64_t pitch = 0;  ///< elements of axis 0 from one row to the next; further axes lie densely
  int box[5] = {1, 1, 1, 1, 1};
  int step[5] = {1, 1, 1, 1, 1};
  int swizzle = 0;
  int at[5] = {};
  // of im2col alone:
  int lower[3] = {}, upper[3] = {}, offset[3] = {};
  int channels = 0, pixels = 0;

  bool im2col() const { return pixels > 0; }
  /// Bytes from one element of axis `a` to the next.
  int64_t stride(int a) const {
    int64_t bytes = kernels::size_of(type);
    for (int i = 1; i <= a; ++i) bytes *= i == 1 ? pitch : size[i - 1];
    return bytes;
  }
  int64_t tensor_bytes() const { return stride(rank - 1) * size[rank - 1]; }
  /// Elements along axis `a` of a tile.
  int64_t extent(int a) const { return (box[a] + step[a] - 1) / step[a]; }
  int64_t tile_bytes() const {
    int64_t bytes = kernels::size_of(type);
    if (im2col()) return bytes * channels * pixels;
    for (int a = 0; a < rank; ++a) bytes *= a ? extent(a) : box[0];
    return bytes;
  }
};

/// Micro kernels for kernels/device/{tma,tensor_map}.h: `load` gives the bytes of the tile as they
/// lie in shared memory; `store` writes such a tile into the tensor, `add` adds it three times.
struct TmaConformance {
  void (*load)(kernels::Stream, const TileCase&, const void* tensor, void* tile);
  void (*store)(kernels::Stream, const TileCase&, const void* tile, void* tensor);
  void (*add)(kernels::Stream, const TileCase&, const void* tile, void* tensor);
};
KERNELS_OPTIONAL extern const TmaConformance tma_conformance_cuda, tma_conformance_emulated;

}  // namespace kinema::test
