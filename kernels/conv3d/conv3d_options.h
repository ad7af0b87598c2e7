#pragma once
#include <array>
#include <cstdint>

namespace kinema::kernels {

/// Geometry of a 3D convolution, each triple over t, h, w. 2D convolution is the case kt = T = 1.
struct Conv3dOptions {
  std::array<int64_t, 3> stride{1, 1, 1};
  std::array<int64_t, 3> dilation{1, 1, 1};
  std::array<int64_t, 3> pad_front{0, 0, 0};  ///< zeros before the first frame, row, column
  std::array<int64_t, 3> pad_back{0, 0, 0};   ///< zeros behind the last
  int64_t groups = 1;
};

}  // namespace kinema::kernels
