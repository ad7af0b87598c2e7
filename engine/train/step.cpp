#include "engine/train/step.h"
#include <cmath>
#include "engine/autograd.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/reduce.h"
#include "engine/ops/views.h"
#include "engine/random.h"
#include "engine/train/fault.h"
#include "engine/train/mixup.h"

namespace kinema::engine::train {

/// Forward and backward pass. `draw` tells its random numbers from those of all other passes, and
/// `weight` multiplies the gradient.
Step::Pass Step::pass(const video::Batch& batch, uint64_t draw, double weight) const {
  RandomScope random(options_.seed, draw);
  Mixture mixed = mixup(batch.clips, batch.labels, options_.mixup);
  mixed.targets.several = batch.targets;
  const Tensor scores = job_.forward(mixed.clips);
  const Tensor loss = loss_of(scores, mixed.targets, options_.loss);
  const Pass done{scores.detach(), item(loss)};
  if (std::isfinite(done.loss))
    backward(loss, full(loss.shape(), weight, loss.dtype(), loss.device()));
  return done;
}

StepResult Step::run(video::Batch batch, int64_t step, Metrics& metrics) {
  StepResult result{.learning_rate = job_.learning_rate(step)};
  BufferGuard statistics(job_.network);
  job_.arena.zero_grad();
  // The gradients of sums of losses, in units of the first batch, so that a single one needs no
  // further pass over them; how many clips there are is known when the epoch has given them.
  const double unit = double(batch.clips.shape(0));
  const double loss_scale = job_.loss_scale ? job_.loss_scale->factor() : 1;
  for (int64_t i = 0; i < options_.accumulate; ++i) {
    if (i > 0 && !job_.train.next(batch)) break;
    const int64_t clips = batch.clips.shape(0);
    const auto draw = uint64_t(step * options_.accumulate + i);
    const Pass done = pass(batch, draw, loss_scale * double(clips) / unit);
    const Tensor& gradients = job_.arena.gradients();
    const Tensor sum = empty({1}, Dtype::f64, gradients.device());
    squared_norm(gradients, sum);
    result.gradient_norm = std::sqrt(item(sum));
    const bool finite = std::isfinite(result.gradient_norm) || loss_scale > LossScale::least;
    if (!std::isfinite(done.loss) || !finite) {
      statistics.put_back();
      name_fault(batch, draw, step);
    }
    metrics.add_loss(done.loss, clips);
    if (batch.targets) {
      metrics.add_several(done.scores, batch.targets);
    } else {
      metrics.add(done.scores, batch.labels);
    }
    result.loss += done.loss * double(clips);
    result.clips += clips;
  }
  result.loss /= double(result.clips);
  if (job_.loss_scale && !job_.loss_scale->update(std::isfinite(result.gradient_norm))) {
    statistics.put_back();
    result.gradient_norm = NAN;
    return result;
  }
  const double mean = unit / double(result.clips) / loss_scale;
  result.gradient_norm *= mean;
  const bool clip = options_.clip_norm > 0 && result.gradient_norm > options_.clip_norm;
  const double scale = mean * (clip ? options_.clip_norm / result.gradient_norm : 1);
  if (scale != 1) scale_in_place(job_.arena.gradients(), scale);
  job_.optimiser.step(result.learning_rate);
  if (job_.ema) job_.ema->update(step);
  statistics.keep();
  return result;
}

std::optional<std::string> Step::fault_of_clips(const video::Batch& batch) const {
  for (int64_t n = 0; n < batch.clips.shape(0); ++n) {
    const Tensor clip = slice(batch.clips, 0, n, 1);
    const auto fault = fault_of(clip);
    if (!fault) continue;
    const auto& samples = job_.train.dataset().samples;
    return "the clip of \"" + samples[size_t(batch.index[size_t(n)])].path + "\" holds " + *fault;
  }
  return {};
}

/// Runs the pass again under observation: nothing has been changed that it reads.
void Step::name_fault(const video::Batch& batch, uint64_t draw, int64_t step) const {
  std::optional<std::string> fault = fault_of_weights(job_.network);
  if (!fault) fault = fault_of_clips(batch);
  if (!fault) {
    const BufferGuard statistics(job_.network);
    job_.arena.zero_grad();
    fault = fault_of_pass(job_.network, [&] { pass(batch, draw, 1); });
  }
  fail("train: at step ", step + 1, " ",
       fault.value_or("the sum of the gradients of several batches overflows"),
       "; weights and checkpoints are as before it; try a lower --lr or --clip-norm");
}

}  // namespace kinema::engine::train
