#pragma once
#include <array>
#include <deque>
#include "engine/ops/step_control.h"
#include "engine/train/buffer_guard.h"
#include "engine/train/feed.h"
#include "engine/train/job.h"
#include "engine/train/mixup.h"
#include "engine/train/read_back.h"
#include "engine/train/step_graph.h"

namespace kinema::engine::train {

struct StepResult {
  double learning_rate = 0;
  double loss = 0;           ///< mean over the clips
  double gradient_norm = 0;  ///< before clipping; NaN where the update was skipped
  int64_t clips = 0;
};

/// Updates of a network: mixup, forward pass, loss and backward pass of each batch of a step, whose
/// gradients add up to that of the mean loss over all their clips; clipping, the optimiser, the
/// average of the weights. Where gradients overflow under a loss scale that can still be halved,
/// the update is skipped, the running statistics stay, and the step counts as done. Any other loss
/// or gradient that is not finite ends it, and only then the pass is run again to find where that
/// came from (fault.h). What is paid for that in a good step is one pass over the gradients, which
/// gives their norm, and a copy of the running statistics.
///
/// All that changes from step to step lies in memory of the device (kernels/step_control), so that
/// enqueue() asks nothing of it: a step may be put there while the one before still runs. What a
/// batch launches depends on the shapes of its tensors and on whether it is the first of its step
/// (which overwrites the gradients that the others add to), what ends a step on nothing. So on a
/// GPU a step of one full batch becomes a graph: all of it but what prepares the batch.
class Step {
 public:
  /// Both must outlive it; the job's loss scale is read here and set by finish().
  Step(const Job& job, const TrainOptions& options);

  /// Puts update number `step`, counted from 0, on `batches` into the queue of the device.
  /// Errors: what an operation refuses; weights, running statistics and the optimiser's state are
  /// as before then.
  void enqueue(std::vector<FedBatch> batches, int64_t step);
  /// Steps that were replays of a graph (options.graph).
  int64_t replays() const { return graph_ ? graph_->replays() : 0; }
  /// How many steps were enqueued and not finished: at most two may be.
  int64_t in_flight() const { return int64_t(flights_.size()); }

  /// Waits until the oldest of them is done. Scores and losses go into `metrics`; a mixture counts
  /// for its clip's own label.
  /// Errors: something is not finite, named with its place; weights, running statistics and the
  /// optimiser's state are as before that step then, whatever was enqueued behind it, and the Step
  /// is of no further use.
  StepResult finish(Metrics& metrics);

 private:
  struct Flight {
    int64_t step = 0;
    std::vector<FedBatch> batches;
    ReadBack* read = nullptr;  ///< the numbers, then the scores of each batch
  };
  StepBatch told_of(const Flight& flight, size_t batch) const;
  Mixture prepare(const FedBatch& batch, StepBatch told);
  Tensor pass(const Mixture& batch);
  void update(BufferGuard& statistics);
  bool graphs(const Mixture& batch) const;
  Tensor run_whole(const std::vector<Tensor>& inputs);
  [[noreturn]] void name_fault(const Flight& flight, size_t batch);
  std::optional<std::string> fault_of_clips(const FedBatch& batch) const;

  const Job& job_;
  const TrainOptions& options_;
  StepControlOptions control_;
  Tensor numbers_, draw_, factors_;  ///< of kernels/step_control
  std::deque<Flight> flights_;
  std::array<ReadBack, 2> reads_;  ///< by turns
  std::optional<StepGraph> graph_;
  size_t enqueued_ = 0;
};

}  // namespace kinema::engine::train
