#pragma once
#include <string>
#include "engine/nn/module.h"

namespace kinema::engine::report {

/// The filters of one convolution as pictures: K filters of T frames of `height` x `width` pixels.
struct Filters {
  std::string name;  ///< of the parameter
  Tensor weights;    ///< f32 [K,T,height,width,3]
  int64_t count() const { return weights.shape(0); }
  int64_t frames() const { return weights.shape(1); }
};

/// The convolution weights [K,kt,kh,kw,C] of the parameter `layer` ("conv1.weight", or without
/// ".weight"), or where that is empty the first that sees colours: C is 3, or 3 T where kt is 1,
/// channel 3 t + c being colour c of frame t. Errors: no such layer; one that sees no colours.
Filters filters_of(const nn::Module& network, const std::string& layer = "");

/// All filters side by side, frame by frame: u8 [1,T,H,W,3]. Each filter is scaled by its own
/// largest magnitude, 0 is mid-grey, and pixels are enlarged to squares.
Tensor moving_grid(const Filters& filters);

/// One row a filter, one column a frame: u8 [1,1,H,W,3].
Tensor contact_sheet(const Filters& filters);

/// Seconds that each of `frames` is to be shown for, so that a loop takes about 1.5 s.
double frame_seconds(int64_t frames);

}  // namespace kinema::engine::report
