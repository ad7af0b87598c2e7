#pragma once
#include "models/base/karpathy.h"

namespace kinema::models {

/// Two single-frame towers with shared weights, 15 frames apart, meet in the first fully connected
/// layer: clips of two frames at a frame stride of 15 (of longer clips, the first and the last
/// frame).
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Late Fusion".
extern const Model karpathy_late_fusion_model;

}  // namespace kinema::models
