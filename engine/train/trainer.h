#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include "engine/optim/arena.h"
#include "engine/optim/sgd.h"
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

/// What is trained, by what, on what.
struct Job {
  nn::Module& network;
  Forward forward;
  optim::ParameterArena& arena;
  optim::Sgd& optimiser;
  std::function<double(int64_t step)> learning_rate;  ///< steps count from 0 over the whole run
  video::Loader& train;
  video::Loader& held_out;      ///< what is evaluated
  RunFolder* folder = nullptr;  ///< none: nothing is written
  nlohmann::json description;   ///< of the run; goes into each checkpoint, with "progress"
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
