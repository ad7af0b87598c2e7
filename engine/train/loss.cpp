#include "engine/train/loss.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/sigmoid_cross_entropy.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/ops/views.h"

namespace kinema::engine::train {

Tensor loss_of(const Tensor& scores, const Targets& targets, const LossOptions& options) {
  // Targets that a loader made lie on the CPU.
  const auto beside_scores = [&](const Tensor& t) { return to_device(t, scores.device()); };
  if (targets.several)
    return sigmoid_cross_entropy(scores, beside_scores(targets.several),
                                 {.smoothing = options.label_smoothing});
  const auto against = [&](const Tensor& labels) {
    return softmax_cross_entropy(scores, beside_scores(labels),
                                 {.smoothing = options.label_smoothing});
  };
  if (!targets.partners) return against(targets.labels);
  const auto weight = [&](int64_t i) { return slice(targets.weights, 0, i, 1); };
  return add(multiply(against(targets.labels), weight(0)),
             multiply(against(targets.partners), weight(1)));
}

}  // namespace kinema::engine::train
