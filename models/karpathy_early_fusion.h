#pragma once
#include "models/base/karpathy.h"

namespace kinema::models {

/// The first convolution spans all frames of a clip, 10 in the paper: 11 x 11 x 3 x 10.
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Early Fusion".
extern const Model karpathy_early_fusion_model;

}  // namespace kinema::models
