#include "engine/train/step.h"
#include <cmath>
#include "engine/autograd.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/random.h"

namespace kinema::engine::train {

namespace {
void check_finite(double value, const char* what, int64_t step) {
  check(std::isfinite(value), "train: the ", what, " is no number at step ", step + 1,
        "; try a lower --lr or --clip-norm");
}
}  // namespace

StepResult Step::run(const video::Batch& batch, int64_t step, Metrics& metrics) {
  RandomScope random(options_.seed, uint64_t(step));
  StepResult result{.learning_rate = job_.learning_rate(step), .gradient_norm = NAN};
  job_.arena.zero_grad();
  Tensor logits;
  {
    const Tensor scores = job_.forward(batch.clips);
    const Tensor loss =
        softmax_cross_entropy(scores, batch.labels, {.smoothing = options_.label_smoothing});
    logits = scores.detach();
    result.loss = item(loss);
    check_finite(result.loss, "loss", step);
    backward(loss);
  }
  if (options_.clip_norm > 0) {
    result.gradient_norm = optim::clip_gradient_norm(job_.arena, options_.clip_norm);
    check_finite(result.gradient_norm, "gradient's norm", step);
  }
  job_.optimiser.step(result.learning_rate);
  metrics.add_loss(result.loss, batch.labels.size());
  metrics.add(logits, batch.labels);
  return result;
}

}  // namespace kinema::engine::train
