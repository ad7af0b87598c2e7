#pragma once
#include "engine/train/buffer_guard.h"
#include "engine/train/job.h"

namespace kinema::engine::train {

struct StepResult {
  double learning_rate = 0;
  double loss = 0;           ///< mean over the clips
  double gradient_norm = 0;  ///< before clipping; NaN where the update was skipped
  int64_t clips = 0;
};

/// One update of a network: mixup, forward pass, loss and backward pass of each of
/// options.accumulate batches, whose gradients add up to that of the mean loss over all their
/// clips; clipping, the optimiser, the average of the weights. Where gradients overflow under a
/// loss scale that can still be halved, the update is skipped, the running statistics stay, and the
/// step counts as done. Any other loss or gradient that is not finite ends it, and only then the
/// pass is run again to find where that came from (fault.h). What is paid for that in a good step
/// is one pass over the gradients, which gives their norm, and a copy of the running statistics.
class Step {
 public:
  /// Both must outlive it.
  Step(const Job& job, const TrainOptions& options) : job_(job), options_(options) {}

  /// Update number `step`, counted from 0, on `batch` and the next of job.train, fewer at the end
  /// of an epoch. Scores and losses go into `metrics`; a mixture counts for its clip's own label.
  /// Errors: something is not finite, named with its place; weights, running statistics and the
  /// optimiser's state are as before then.
  StepResult run(video::Batch batch, int64_t step, Metrics& metrics);

 private:
  struct Pass {
    Tensor scores;
    double loss = 0;
  };
  Pass pass(const video::Batch& batch, uint64_t draw, double weight) const;
  [[noreturn]] void name_fault(const video::Batch& batch, uint64_t draw, int64_t step) const;
  std::optional<std::string> fault_of_clips(const video::Batch& batch) const;

  const Job& job_;
  const TrainOptions& options_;
};

}  // namespace kinema::engine::train
