#pragma once
#include <memory>
#include <string>
#include "engine/optim/ema.h"
#include "engine/optim/schedule.h"
#include "engine/train/job.h"
#include "tools/base/options.h"

namespace kinema::tools {

/// The options of `train` that say how a network learns.
struct LearningSettings {
  std::string optimiser = "sgd", schedule = "cosine", dtype = "f32";
  double lr = 0.1, weight_decay = 1e-4, momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999, adam_eps = 1e-8;
  double clip_norm = 0, label_smoothing = 0, mixup = 0, ema = 0;
  int64_t warmup = -1, accumulate = 1, precise_bn = 0, patience = 0;
  bool nesterov = false, decay_norm = true, checkpoint_activations = false;

  void declare(Options& options);
  /// Sets what the user left open to what suits the optimiser; a UsageError where options clash.
  void settle(const Options& given);

  std::unique_ptr<engine::optim::Optimiser> make_optimiser(
      engine::optim::ParameterArena& arena) const;
  /// None without --ema.
  std::unique_ptr<engine::optim::Ema> make_ema(const engine::nn::Module& network,
                                               const engine::optim::ParameterArena& arena) const;
  /// "step" divides the rate by 10 after a half and after three quarters of the run.
  engine::optim::Schedule schedule_for(int64_t steps) const;
  /// Optimiser steps of an epoch of so many batches.
  int64_t steps_of(int64_t batches) const { return (batches + accumulate - 1) / accumulate; }
  void apply(engine::train::TrainOptions& options) const;
};

}  // namespace kinema::tools
