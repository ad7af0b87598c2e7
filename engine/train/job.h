#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>
#include "engine/optim/arena.h"
#include "engine/optim/ema.h"
#include "engine/optim/optimiser.h"
#include "engine/train/evaluate.h"
#include "engine/train/loss.h"
#include "engine/train/loss_scale.h"
#include "engine/train/run_folder.h"
#include "engine/train/stateful.h"

namespace kinema::engine::train {

struct TrainOptions {
  int64_t epochs = 30;
  int64_t evaluate_every = 1;    ///< epochs; the last is always evaluated
  int64_t checkpoint_every = 0;  ///< steps; 0: at the end of each epoch alone
  uint64_t seed = 1;             ///< of what the network draws (dropout)
  LossOptions loss = {};
  double mixup = 0;        ///< alpha of its Beta distribution; 0: none
  double clip_norm = 0;    ///< bound on the norm of the whole gradient; 0: none
  int64_t accumulate = 1;  ///< batches of a step
  int64_t precise_bn = 0;  ///< batches that each evaluation's batch norms are measured on; 0: none
  int64_t patience = 0;    ///< epochs without a better one that end the run; 0: none do
  Average average = Average::softmax;
  /// A step is put on its way before the one before is heard of; always so on a GPU. What is
  /// learned is the same, but `stop` ends the run one step later.
  bool overlap = false;
  /// On a GPU a step is captured as a graph and replayed, where it is of one full batch: to the bit
  /// the same. Other steps (accumulate above 1, an epoch's short end) run launch by launch.
  bool graph = true;
  bool quiet = false;          ///< no progress line
  std::function<bool()> stop;  ///< asked after each step: true ends the run there
};

/// One step, as it was done.
struct StepMetrics {
  int64_t step = 0;   ///< counted from 1 over the whole run
  int64_t epoch = 0;  ///< that it belongs to, counted from 1
  double learning_rate = 0, loss = 0;
  double gradient_norm = 0;  ///< before clipping; NaN of a step that was skipped
  double clips_per_second = 0;
  double data_wait = 0;  ///< seconds of this step that waited for clips
  int64_t memory = 0;    ///< bytes that the process holds
};

/// Hears how a run goes: logs, reports. A run that is taken up again tells once more of steps that
/// an earlier process had done after its last checkpoint.
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
  optim::Ema* ema = nullptr;  ///< the average that is evaluated and kept as best; none: the weights
  LossScale* loss_scale = nullptr;  ///< what f16 needs, one of the `parts` then; none: 1
  std::function<double(int64_t step)> learning_rate;  ///< steps count from 0 over the whole run
  video::Loader& train;
  video::Loader& held_out;      ///< what is evaluated
  RunFolder* folder = nullptr;  ///< none: nothing is written
  nlohmann::json description;   ///< of the run; goes into each checkpoint, with "progress"
  std::vector<Listener*> listeners = {};
  std::vector<Stateful*> parts = {};  ///< whose state checkpoints hold
  /// Where the run goes on; none: from its beginning. Its tensors are let go once they are copied.
  Checkpoint* resume = nullptr;
};

}  // namespace kinema::engine::train
