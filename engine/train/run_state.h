#pragma once
#include <limits>
#include <optional>
#include "engine/train/job.h"

namespace kinema::engine::train {

/// Where a run stands between two steps: with the tensors, all that the steps to come depend on.
struct RunState {
  explicit RunState(int64_t classes) : metrics(classes) {}

  int64_t epochs = 0;  ///< finished, their evaluation too
  int64_t steps = 0;   ///< done, over the whole run
  /// Done of the epoch that has begun; where it is all of them, its evaluation is still to come.
  int64_t epoch_steps = 0;
  /// Batches of that epoch that these took, or that were passed over for want of readable videos.
  /// Not given: a checkpoint does not say, and none were.
  std::optional<int64_t> epoch_batches = 0;
  double learning_rate = 0;  ///< of the last step
  Metrics metrics;           ///< of the steps of the epoch that has begun
  int64_t best_epoch = 0;    ///< 0: none was evaluated
  double best_top1 = 0, best_loss = std::numeric_limits<double>::infinity();
};

/// The checkpoint's "run": job.description with "progress" and the values of job.parts.
nlohmann::json describe(const Job& job, const RunState& state);

/// Parameters and buffers, then what the optimiser and job.parts keep, under state_prefix.
std::vector<io::NamedValue> tensors_of(const Job& job);

/// Where the run stands: at its beginning, or where job.resume does, which is copied into network,
/// optimiser and parts.
/// Errors: weights of another network; something that the run needs is missing or of another form.
RunState first_state(const Job& job);

}  // namespace kinema::engine::train
