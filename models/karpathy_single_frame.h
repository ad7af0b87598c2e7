#pragma once
#include "models/base/karpathy.h"

namespace kinema::models {

/// One frame at a time; a clip's scores are the mean of its frames'.
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Single-frame".
extern const Model karpathy_single_frame_model;

}  // namespace kinema::models
