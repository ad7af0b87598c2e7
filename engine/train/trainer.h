#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include "engine/optim/arena.h"
#include "engine/optim/optimiser.h"
#include "engine/train/evaluate.h"
#include "engine/train/run_folder.h"

namespace kinema::engine::train {

struct TrainOptions {
  int64_t epochs = 30;
  int64_t evaluate_every = 1;  ///< epochs; the last is always evaluated
  uint64_t seed = 1;           ///< of what the network draws (dropout)
  double label_smoothing = 0;
  double clip_norm = 0;  ///< bound on the norm of the whole gradient; 0: none
  Average average = Average::softmax;
  bool quiet = false;          ///< no progress line
  std::function<bool()> stop;  ///< asked after each step: true ends the run there
};

/// One step, as it was done.
struct StepMetrics {
  int64_t step = 0;   ///< counted from 1 over the whole run
  int64_t epoch = 0;  ///< that it belongs to, counted from 1
  double learning_rate = 0, loss = 0;
  double gradient_norm = 0;  ///< before clipping; NaN where it was not computed
  double clips_per_second = 0;
  double data_wait = 0;  ///< seconds of this step that waited for clips
  int64_t memory = 0;    ///< bytes that the process holds
};

/// Hears how a run goes: logs, reports.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void after_step(const StepMetrics& step) { (void)step; }
  /// `evaluation` is null in an epoch that ends without one. The epoch's checkpoint stands already.
  virtual void after_epoch(const EpochMetrics& epoch, const Evaluation* evaluation) {
    (void)epoch, (void)evaluation;
  }
};

/// What is trained, by what, on what.
struct Job {
  nn::Module& network;
  Forward forward;
  optim::ParameterArena& arena;
  optim::Optimiser& optimiser;
  std::function<double(int64_t step)> learning_rate;  ///< steps count from 0 over the whole run
  video::Loader& train;
  video::Loader& held_out;      ///< what is evaluated
  RunFolder* folder = nullptr;  ///< none: nothing is written
  nlohmann::json description;   ///< of the run; goes into each checkpoint, with "progress"
  std::vector<Listener*> listeners = {};
};

struct TrainResult {
  int64_t epochs = 0, steps = 0;  ///< done
  int64_t best_epoch = 0;         ///< 0: never evaluated
  double best_top1 = 0;           ///< of the held-out videos
  EpochMetrics last;
  bool interrupted = false;
};

/// Epochs of forward pass, softmax cross-entropy, backward pass, clipping and SGD; after each epoch
/// an evaluation, a line of metrics.csv and the checkpoint "last", also as "best" where it is: by
/// top-1, of equal ones by loss. Shows one progress line.
/// All that is random follows from seed, step and place, and the order of clips from the loader's
/// seed and the epoch, so that a run can be taken up again where a checkpoint's "progress" stands.
/// Errors: the loss is no number (the last checkpoint stays); whatever the loader cannot read.
TrainResult train(const Job& job, const TrainOptions& options);

}  // namespace kinema::engine::train
