#pragma once
#include "kernels/conv3d/conv3d_gather.h"

namespace kinema::kernels {

/// A pass as the kernels of halo see it: a pixel j of the result reads the sources from first + j
/// on and further by `dilation` with each tap. Taps come in the order of their sources, so that
/// grad_input, whose sources run backwards, takes the filter's taps from behind.
struct Conv3dHaloAxis {
  int results = 0, sources = 0, first = 0;
  int taps = 0, dilation = 1;
  int filter_first = 0, filter_step = 1;
};
struct Conv3dHalo {
  Conv3dHaloAxis axis[3];  ///< t, h, w
  bool merged = false;     ///< h and w are one axis, the last: a frame's pixels in a row
  int64_t images = 0;      ///< N
  int64_t depth = 0;       ///< channels that are summed over
  int64_t columns = 0;     ///< channels of the result
  int extent(int i, int box) const { return box + (axis[i].taps - 1) * axis[i].dilation; }
};

/// x, w, y or their gradients: stride 1, one group.
Conv3dHalo conv3d_halo(Conv3dPass, const Conv3dOptions&, const Shape& x, const Shape& w,
                       const Shape& y);

/// Taps that a stage of weights holds, and the axis that they lie on. Where columns are few,
/// reading pixels from shared memory is the limit: a warp's four fragments of 16 pixels then lie
/// side by side along t or h, so that a tap's are the neighbour's of the tap before.
struct Conv3dHaloWindow {
  int taps = 1, axis = 0;
};
Conv3dHaloWindow conv3d_halo_window(const Conv3dHalo&, const std::array<int, 3>& box, int columns);

}  // namespace kinema::kernels
