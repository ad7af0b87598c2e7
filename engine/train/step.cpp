#include "engine/train/step.h"
#include <algorithm>
#include "engine/autograd.h"
#include "engine/ops/copy.h"
#include "engine/ops/reduce.h"
#include "engine/ops/views.h"
#include "engine/random.h"
#include "engine/train/fault.h"

namespace kinema::engine::train {

Step::Step(const Job& job, const TrainOptions& options)
    : job_(job), options_(options), control_{.clip_norm = options.clip_norm} {
  const Device device = job.arena.values().device();
  StepNumbers start;
  if (job.loss_scale) {
    job.loss_scale->put_into(start);
    control_.scales = true;
    control_.least_scale = LossScale::least;
    control_.most_scale = LossScale::most;
    control_.patience = double(LossScale::patience);
  }
  numbers_ = full({StepNumbers::size}, 0, Dtype::f64, device);
  for (auto field :
       {&StepNumbers::loss_scale, &StepNumbers::good_steps, &StepNumbers::skipped_steps})
    fill(number_of(numbers_, field), start.*field);
  draw_ = full({1}, 0, Dtype::i64, device);
  factors_ = full({3}, 0, Dtype::f32, device);
  if (options.graph && options.accumulate == 1 && device == Device::gpu)
    graph_.emplace([this](const std::vector<Tensor>& inputs) { return run_whole(inputs); });
}

/// What is known of a batch before it runs.
StepBatch Step::told_of(const Flight& flight, size_t batch) const {
  return {.first = batch == 0,
          .clips = double(flight.batches[batch].clips.shape(0)),
          .draw = flight.step * options_.accumulate + int64_t(batch)};
}

/// Mixes the batch and tells the device of it: what of a pass differs each time. Its number of
/// draws tells its random numbers from those of all other passes.
Mixture Step::prepare(const FedBatch& batch, StepBatch told) {
  Mixture mixed = mixup(batch.clips, batch.labels, options_.mixup);
  mixed.targets.several = batch.targets;
  mixed.targets.weights = slice(factors_, 0, 1, 2);
  told.mix_share = mixed.share;
  begin_batch(told, numbers_, draw_, factors_);
  return mixed;
}

/// Forward and backward pass; gives back the scores.
Tensor Step::pass(const Mixture& batch) {
  const Tensor scores = job_.forward(batch.clips);
  const Tensor loss = loss_of(scores, batch.targets, options_.loss);
  backward(loss, slice(factors_, 0, 0, 1));
  squared_norm(job_.arena.gradients(), number_of(numbers_, &StepNumbers::squared_norm));
  add_batch(control_, loss.detach(), numbers_);
  return scores.detach();
}

/// What ends a step.
void Step::update(BufferGuard& statistics) {
  decide_step(control_, numbers_, job_.optimiser.steps(), job_.optimiser.update());
  job_.optimiser.apply();
  if (job_.ema) job_.ema->update(number_of(numbers_, &StepNumbers::average));
  statistics.settle(number_of(numbers_, &StepNumbers::put_back));
}

/// Whether the batch, a step of its own, is one that the graph is of. The first that comes decides,
/// so it must be none that is short.
bool Step::graphs(const Mixture& batch) const {
  const int64_t samples = int64_t(job_.train.dataset().samples.size());
  return graph_ && batch.clips.device() == Device::gpu &&
         batch.clips.shape(0) == std::min(job_.train.options().batch, samples);
}

/// A step of one batch, behind prepare(): clips, labels, partners, several in; scores out.
Tensor Step::run_whole(const std::vector<Tensor>& inputs) {
  BufferGuard statistics(job_.network);
  job_.arena.zero_grad();
  const Tensor scores = pass({.clips = inputs[0],
                              .targets = {.labels = inputs[1],
                                          .partners = inputs[2],
                                          .weights = slice(factors_, 0, 1, 2),
                                          .several = inputs[3]}});
  update(statistics);
  return scores;
}

void Step::enqueue(std::vector<FedBatch> batches, int64_t step) {
  check(!batches.empty(), "step: expected batches, got none");
  check(in_flight() < 2, "step: finish a step before the next but one is enqueued");
  Flight flight{.step = step, .batches = std::move(batches), .read = &reads_[enqueued_++ % 2]};
  const double rate = job_.learning_rate(step);
  std::vector<Tensor> results{numbers_};
  std::optional<BufferGuard> statistics;
  for (size_t i = 0; i < flight.batches.size(); ++i) {
    StepBatch told = told_of(flight, i);
    told.rate = rate;
    told.average_share = job_.ema ? job_.ema->share(step) : 0;
    RandomScope random(options_.seed, uint64_t(told.draw), draw_);
    const Mixture batch = prepare(flight.batches[i], told);
    // From here on launches are the same each time, for batches of one shape.
    if (graphs(batch)) {
      const Targets& t = batch.targets;
      results.push_back(graph_->run({batch.clips, t.labels, t.partners, t.several}));
      continue;
    }
    if (told.first) {
      statistics.emplace(job_.network);
      job_.arena.zero_grad();
    }
    results.push_back(pass(batch));
  }
  if (statistics) update(*statistics);
  flight.read->begin(results);
  flights_.push_back(std::move(flight));
}

StepResult Step::finish(Metrics& metrics) {
  Flight flight = std::move(flights_.front());
  flights_.pop_front();
  const std::vector<Tensor>& found = flight.read->wait();
  const StepNumbers& done = numbers_in(found[0]);
  if (done.bad_batch > 0) name_fault(flight, size_t(done.bad_batch) - 1);
  if (job_.loss_scale) job_.loss_scale->take_from(done);
  metrics.add_loss(done.loss_sum / done.clips, int64_t(done.clips));
  for (size_t i = 0; i < flight.batches.size(); ++i) {
    const video::Batch& batch = flight.batches[i].host;
    if (batch.targets) {
      metrics.add_several(found[i + 1], batch.targets);
    } else {
      metrics.add(found[i + 1], batch.labels);
    }
  }
  return {.learning_rate = done.rate,
          .loss = done.loss_sum / done.clips,
          .gradient_norm = done.norm,
          .clips = int64_t(done.clips)};
}

std::optional<std::string> Step::fault_of_clips(const FedBatch& batch) const {
  for (int64_t n = 0; n < batch.clips.shape(0); ++n) {
    const Tensor clip = slice(batch.clips, 0, n, 1);
    const auto fault = fault_of(clip);
    if (!fault) continue;
    const auto& samples = job_.train.dataset().samples;
    return "the clip of \"" + samples[size_t(batch.host.index[size_t(n)])].path + "\" holds " +
           *fault;
  }
  return {};
}

/// Runs the pass again under observation: nothing has been changed that it reads. Without a loss
/// scale: what it would show is an overflow, and the fault is none of that.
void Step::name_fault(const Flight& flight, size_t batch) {
  std::optional<std::string> fault = fault_of_weights(job_.network);
  if (!fault) fault = fault_of_clips(flight.batches[batch]);
  if (!fault) {
    const BufferGuard statistics(job_.network);
    StepBatch told = told_of(flight, batch);
    told.first = true;
    fill(number_of(numbers_, &StepNumbers::loss_scale), 1);
    job_.arena.zero_grad();
    RandomScope random(options_.seed, uint64_t(told.draw), draw_);
    const Mixture mixed = prepare(flight.batches[batch], told);
    fault = fault_of_pass(job_.network, [&] { pass(mixed); });
  }
  fail("train: at step ", flight.step + 1, " ",
       fault.value_or("the sum of the gradients of several batches overflows"),
       "; weights and checkpoints are as before it; try a lower --lr or --clip-norm");
}

}  // namespace kinema::engine::train
