#pragma once
#include "engine/train/job.h"

namespace kinema::engine::train {

struct TrainResult {
  int64_t epochs = 0, steps = 0;  ///< done
  int64_t best_epoch = 0;         ///< 0: never evaluated
  double best_top1 = 0;           ///< of the held-out videos
  EpochMetrics last;
  int64_t replays = 0;  ///< of the steps of this process: replayed as a graph (options.graph)
  int64_t skipped = 0;  ///< of the steps: updates that overflowed in f16
  bool interrupted = false;
  bool stopped_early = false;  ///< options.patience ran out
};

/// Epochs of steps (engine/train/step.h); after each epoch an evaluation, a line of metrics.csv and
/// a checkpoint, also as "best" where it is: by top-1, of equal ones by loss. Shows one progress
/// line.
/// All that is random follows from seed, step and place, and the order of clips from the loader's
/// seed and the epoch, so that a run that `job.resume` takes up goes on bit for bit.
/// Errors: a step's; whatever the loader cannot read or the run folder cannot write. The
/// checkpoints before stay.
TrainResult train(const Job& job, const TrainOptions& options);

}  // namespace kinema::engine::train
