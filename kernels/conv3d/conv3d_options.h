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
  bool tf32 = false;  ///< factors of f32 may be rounded to 10 bits of mantissa: tensor cores' TF32
};

enum class Conv3dPass : uint8_t { forward, grad_input, grad_weight };
constexpr const char* name_of(Conv3dPass p) {
  constexpr const char* names[] = {"forward", "grad_input", "grad_weight"};
  return names[int(p)];
}

}  // namespace kinema::kernels
