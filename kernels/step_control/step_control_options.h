#pragma once
#include <cstdint>

namespace kinema::kernels {

/// What the steps of a training have in common.
struct StepControlOptions {
  double clip_norm = 0;    ///< bound on the norm of the mean gradient; 0: none
  bool scales = false;     ///< whether the loss scale moves
  double least_scale = 1;  ///< below which it does not fall
  double most_scale = 1;   ///< above which it does not rise
  double patience = 0;     ///< steps without an overflow after which it doubles; 0: never
};

/// One batch of a step, as the host knows it.
struct StepBatch {
  bool first = true;  ///< of its step
  double clips = 0;
  int64_t draw = 0;          ///< tells the random numbers of this pass from those of all others
  double mix_share = 1;      ///< of a clip's own label in a mixture
  double rate = 0;           ///< the learning rate of the step; read of the first batch
  double average_share = 0;  ///< that the average of the weights takes of them; likewise
};

/// Where a training stands, all in memory of the device that trains: a tensor f64 [size].
struct StepNumbers {
  static constexpr int64_t size = 17;

  double rate = 0, average_share = 0;  ///< as the host said
  double unit = 0;  ///< clips of the first batch: gradients are sums in its mean's unit
  double clips = 0, batches = 0;  ///< of the step so far
  double batch_clips = 0;         ///< of the batch under way
  double loss_sum = 0;            ///< of the clips so far
  double squared_norm = 0;        ///< of the gradients so far; another operation writes it
  double bad_batch = 0;  ///< number, from 1, of the step's first batch that is a fault; 0: none
  double norm = 0;       ///< of the mean gradient before clipping; NaN of a step not applied
  double applied = 0;    ///< 1 if the step moves the weights, else 0
  double average = 0;    ///< the average's share then: average_share * applied
  double put_back = 0;   ///< 1 - applied: the share of what was there before the step
  double stopped = 0;    ///< 1 from the first fault on: no step is applied any more
  double loss_scale = 1;
  double good_steps = 0, skipped_steps = 0;  ///< since the scale changed last; of the whole run
};
static_assert(sizeof(StepNumbers) == StepNumbers::size * sizeof(double));

}  // namespace kinema::kernels
