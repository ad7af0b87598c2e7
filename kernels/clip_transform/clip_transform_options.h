#pragma once
#include <array>
#include <cstdint>

namespace kinema::kernels {

/// How the colours of one clip are changed: pixels v = (red, green, blue) within [0,1], by these
/// changes in the order of `order`, each result clamped to [0,1]:
///   0 brightness  f * v                               1 contrast    f * v + (1 - f) * m
///   2 saturation  f * v + (1 - f) * grey(v)           3 hue         turned by `hue` in HSV
/// with grey(v) = 0.2989 R + 0.587 G + 0.114 B, and m the mean grey of the frame as it then is.
/// Factors of 1 and a hue of 0 change nothing. Source: torchvision 0.14,
/// functional_tensor.adjust_*.
struct ColourChange {
  double brightness = 1, contrast = 1, saturation = 1;  ///< factors
  double hue = 0;                                       ///< turns
  std::array<int, 4> order{0, 1, 2, 3};                 ///< of these four
  bool operator==(const ColourChange&) const = default;
};

/// What one clip shows of its frames.
struct ClipPlan {
  int64_t top = 0, left = 0;  ///< corner of the window, in pixels of the frame
  /// Of the window, which is scaled to the clip's size; 0 x 0: it has that size and is cut out.
  int64_t height = 0, width = 0;
  bool mirrored = false;  ///< in x
  ColourChange colour = {};

  bool scales() const { return height != 0 || width != 0; }
};

struct ClipTransformOptions {
  std::array<double, 3> mean{};              ///< of red, green, blue in [0,1]
  std::array<double, 3> deviation{1, 1, 1};  ///< likewise, above 0
};

}  // namespace kinema::kernels
