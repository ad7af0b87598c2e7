#pragma once
#include "engine/train/job.h"

namespace kinema::engine::train {

struct StepResult {
  double learning_rate = 0, loss = 0;
  double gradient_norm = 0;  ///< before clipping; NaN where it was not computed
};

/// One update of a network: forward pass, softmax cross-entropy, backward pass, clipping,
/// optimiser.
class Step {
 public:
  /// Both must outlive it.
  Step(const Job& job, const TrainOptions& options) : job_(job), options_(options) {}

  /// Update number `step`, counted from 0, on `batch`, whose scores and loss go into `metrics`.
  /// Errors: the loss or the gradient's norm is no number; the weights are as before then.
  StepResult run(const video::Batch& batch, int64_t step, Metrics& metrics);

 private:
  const Job& job_;
  const TrainOptions& options_;
};

}  // namespace kinema::engine::train
