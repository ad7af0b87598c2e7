#pragma once
#include "engine/data/loader.h"

namespace kinema::engine::train {

/// A batch where the network computes.
struct FedBatch {
  Tensor clips;    ///< [N,T,H,W,3]
  Tensor labels;   ///< i64 [N]
  Tensor targets;  ///< f32 [N,classes] of a multi-label set
  /// What stays on the host: labels and targets once more, index, views. No clips.
  video::Batch host;
};

/// Brings batches to where the network computes.
class Feed {
 public:
  FedBatch bring(video::Batch batch);
};

}  // namespace kinema::engine::train
