#pragma once
#include "models/base/karpathy.h"

namespace kinema::models {

/// Of 10 frames, conv1 spans 4 at stride 2 and leaves 4, conv2 and conv3 span 2 at stride 2: conv3
/// sees all.
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Slow Fusion".
extern const Model karpathy_slow_fusion_model;

}  // namespace kinema::models
