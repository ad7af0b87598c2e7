#pragma once
#include <array>
#include <cstdint>

namespace kinema::kernels {

/// Geometry of 3D pooling, each triple over t, h, w. 2D pooling is the case kernel[0] = 1.
struct Pool3dOptions {
  std::array<int64_t, 3> kernel{1, 1, 1};
  std::array<int64_t, 3> stride{0, 0, 0};     ///< 0: that of the kernel, windows side by side
  std::array<int64_t, 3> pad_front{0, 0, 0};  ///< before the first frame, row, column
  std::array<int64_t, 3> pad_back{0, 0, 0};   ///< behind the last
  bool ceil_mode = false;                     ///< a last window may reach beyond the padding
  bool count_padding = true;                  ///< averages divide by padding too

  /// Elements between neighbouring windows.
  constexpr std::array<int64_t, 3> step() const {
    return {stride[0] ? stride[0] : kernel[0], stride[1] ? stride[1] : kernel[1],
            stride[2] ? stride[2] : kernel[2]};
  }
};

}  // namespace kinema::kernels
