#pragma once
#include "engine/tensor.h"

namespace kinema::engine::train {

/// What a network is to answer for a batch of clips.
struct Targets {
  Tensor labels;         ///< i64 [N]
  Tensor partners = {};  ///< i64 [N], of what was mixed into each clip; not given without mixup
  Tensor weights = {};   ///< f32 [2], of labels and of partners in a mixture
  Tensor several = {};  ///< f32 [N,classes], 1 for each label: of a multi-label set, in their place
};

struct LossOptions {
  double label_smoothing = 0;  ///< share of the target that all classes divide
};

/// The loss that training lowers, [1]: the mean over the batch of the softmax cross-entropy, in
/// nats; of mixtures weights[0] * loss(labels) + weights[1] * loss(partners). Of several labels the
/// mean over classes of the binary cross entropy, whose targets label smoothing draws to 1/2.
/// Errors: softmax_cross_entropy's, sigmoid_cross_entropy's.
Tensor loss_of(const Tensor& scores, const Targets& targets, const LossOptions& options);

}  // namespace kinema::engine::train
