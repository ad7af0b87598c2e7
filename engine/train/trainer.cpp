#include "engine/train/trainer.h"
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include "engine/random.h"
#include "engine/train/buffer_guard.h"
#include "engine/train/fault.h"
#include "engine/train/precise_norm.h"
#include "engine/train/progress.h"
#include "engine/train/run_state.h"
#include "engine/train/step.h"

namespace kinema::engine::train {

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

/// While it lives the network is what the average of its weights makes of it: batch norms that are
/// measured meanwhile go with it.
struct Averaged {
  BufferGuard statistics;
  optim::Ema::Scope weights;
  Averaged(optim::Ema& ema, const nn::Module& network) : statistics(network), weights(ema) {}
};

/// Between its methods stands a RunState that a checkpoint can hold.
class Trainer {
 public:
  Trainer(const Job& job, const TrainOptions& options)
      : job_(job),
        options_(options),
        state_(first_state(job)),
        step_(job, options),
        ahead_(options.overlap || job.arena.values().device() != Device::cpu),
        line_(options.quiet),
        steps_an_epoch_((job.train.batches() + options.accumulate - 1) / options.accumulate),
        steps_before_(state_.steps) {}

  TrainResult run();

 private:
  void run_epoch();
  std::vector<FedBatch> next_batches();
  void finish_steps(int64_t in_flight);
  void finish_step();
  void tell_step(const StepResult& step);
  void finish_epoch();
  std::optional<Evaluation> evaluate_held_out(const std::string& text, EpochMetrics& m);
  bool measure_norms();
  bool take_best(const EpochMetrics& m);
  bool out_of_patience() const;
  void check_weights() const;
  void save();
  bool stopped() { return interrupted_ = interrupted_ || (options_.stop && options_.stop()); }
  std::string progress_text() const;
  int64_t skipped() const { return job_.loss_scale ? job_.loss_scale->skipped() : 0; }

  const Job& job_;
  const TrainOptions& options_;
  RunState state_;  ///< of the steps that are finished
  Step step_;
  const int64_t ahead_;  ///< steps that are enqueued before the one before them is finished
  /// Clips are mixed in f32.
  Feed feed_{job_.train.recipe(), options_.mixup > 0 ? Dtype::f32 : job_.network.precision()};
  ProgressLine line_;
  const int64_t steps_an_epoch_, steps_before_;  ///< done before this process
  bool interrupted_ = false;
  EpochMetrics last_;
  Clock::time_point began_ = Clock::now(), epoch_began_, step_began_;
  int64_t clips_before_ = 0;  ///< of the epoch that has begun, done before this process
  double epoch_wait_ = 0, step_wait_ = 0;
};

TrainResult Trainer::run() {
  while (state_.epochs < options_.epochs && !interrupted_ && !out_of_patience()) run_epoch();
  return {.epochs = state_.epochs,
          .steps = state_.steps,
          .best_epoch = state_.best_epoch,
          .best_top1 = state_.best_top1,
          .last = last_,
          .replays = step_.replays(),
          .skipped = skipped(),
          .interrupted = interrupted_,
          .stopped_early = state_.epochs < options_.epochs && out_of_patience()};
}

bool Trainer::out_of_patience() const {
  return options_.patience && state_.best_epoch &&
         state_.epochs - state_.best_epoch >= options_.patience;
}

void Trainer::run_epoch() {
  epoch_began_ = step_began_ = Clock::now();
  epoch_wait_ = step_wait_ = job_.train.wait_seconds();
  clips_before_ = state_.metrics.count();
  job_.network.train(true);
  const int64_t batches = state_.epoch_batches.value_or(
      std::min(state_.epoch_steps * options_.accumulate, job_.train.batches()));
  job_.train.start_epoch(state_.epochs, batches);
  for (std::vector<FedBatch> taken; !(taken = next_batches()).empty();) {
    const int64_t step = state_.steps + step_.in_flight();
    step_.enqueue(std::move(taken), step);
    // Of the step in flight too: a checkpoint is written where none is.
    state_.epoch_batches = job_.train.position();
    finish_steps(ahead_);
    const bool due = options_.checkpoint_every && (step + 1) % options_.checkpoint_every == 0;
    if (!stopped() && !due) continue;
    finish_steps(0);
    save();
    if (interrupted_) return;
  }
  finish_steps(0);
  finish_epoch();
}

/// Those of one step, fewer at the end of an epoch; none behind it.
std::vector<FedBatch> Trainer::next_batches() {
  std::vector<FedBatch> all;
  video::Batch batch;
  while (int64_t(all.size()) < options_.accumulate && job_.train.next(batch))
    all.push_back(feed_.bring(std::move(batch)));
  return all;
}

/// Until no more than `in_flight` steps are.
void Trainer::finish_steps(int64_t in_flight) {
  while (step_.in_flight() > in_flight) finish_step();
}

void Trainer::finish_step() {
  const StepResult done = step_.finish(state_.metrics);
  state_.learning_rate = done.learning_rate;
  ++state_.steps;
  ++state_.epoch_steps;
  tell_step(done);
  if (line_.due()) line_.show(progress_text());
}

/// Tells the listeners of the step that has just ended; time and wait count from the one before.
void Trainer::tell_step(const StepResult& step) {
  const double wait = job_.train.wait_seconds(), seconds = since(step_began_);
  const StepMetrics m{.step = state_.steps,
                      .epoch = state_.epochs + 1,
                      .learning_rate = step.learning_rate,
                      .loss = step.loss,
                      .gradient_norm = step.gradient_norm,
                      .clips_per_second = double(step.clips) / seconds,
                      .data_wait = wait - step_wait_,
                      .memory = memory_held()};
  for (Listener* l : job_.listeners) l->after_step(m);
  step_began_ = Clock::now();
  step_wait_ = wait;
}

std::string Trainer::progress_text() const {
  const double epoch_seconds = since(epoch_began_), all_seconds = since(began_);
  const double left = double(options_.epochs * steps_an_epoch_ - state_.steps);
  const double wait = job_.train.wait_seconds() - epoch_wait_;
  return fmt::format(
      "epoch {}/{}  step {}/{}  loss {:.3f}  top-1 {:.1f}%  {:.1f} clips/s  ETA {}  data wait "
      "{:.0f}%  memory {} MB{}",
      state_.epochs + 1, options_.epochs, state_.epoch_steps, steps_an_epoch_,
      state_.metrics.loss(), 100 * state_.metrics.top1(),
      double(state_.metrics.count() - clips_before_) / epoch_seconds,
      clock_text(all_seconds / double(state_.steps - steps_before_) * left),
      100 * wait / epoch_seconds, memory_held() >> 20,
      skipped() ? fmt::format("  {} steps skipped", skipped()) : "");
}

/// Evaluates and sets the held-out part of m; nothing if the run was stopped meanwhile.
std::optional<Evaluation> Trainer::evaluate_held_out(const std::string& text, EpochMetrics& m) {
  struct Stopped {};
  const auto all = job_.held_out.dataset().samples.size();
  auto progress = [&](int64_t done) {
    if (line_.due()) line_.show(fmt::format("{}  evaluating {}/{}", text, done, all));
    if (stopped()) throw Stopped{};
  };
  try {
    Evaluation found =
        evaluate(job_.network, job_.forward, job_.held_out, options_.average, progress);
    m.val_loss = found.metrics.loss();
    const bool several = job_.held_out.dataset().multi_label;
    m.val_top1 = several ? found.mean_average_precision : found.metrics.top1();
    m.val_top5 = several ? found.metrics.top1() : found.metrics.top5();
    return found;
  } catch (const Stopped&) {
    return {};
  }
}

/// Precise batch norm over the first batches of the epoch that was just trained; false if the run
/// was stopped meanwhile, with the statistics as they were.
bool Trainer::measure_norms() {
  if (!options_.precise_bn) return true;
  BufferGuard before(job_.network);
  job_.network.train(true);
  job_.train.start_epoch(state_.epochs);
  precise_norm(job_.network, [&] {
    video::Batch batch;
    for (int64_t i = 0; i < options_.precise_bn && !stopped() && job_.train.next(batch); ++i) {
      // Dropout draws as in some step: which one means nothing, since nothing is learned here.
      RandomScope random(options_.seed, uint64_t(i));
      job_.forward(feed_.bring(std::move(batch)).clips);
    }
  });
  if (interrupted_) return false;
  before.keep();
  return true;
}

/// Remembers m where it is the best so far.
bool Trainer::take_best(const EpochMetrics& m) {
  const bool best = !state_.best_epoch || m.val_top1 > state_.best_top1 ||
                    (m.val_top1 == state_.best_top1 && m.val_loss < state_.best_loss);
  if (!best) return false;
  state_.best_epoch = m.epoch;
  state_.best_top1 = m.val_top1;
  state_.best_loss = m.val_loss;
  return true;
}

/// What lies behind the last step of an epoch. A run that is stopped here has its steps saved, and
/// does this when it goes on.
void Trainer::finish_epoch() {
  const std::string text = progress_text();
  EpochMetrics m{.epoch = state_.epochs + 1,
                 .step = state_.steps,
                 .learning_rate = state_.learning_rate,
                 .train_loss = state_.metrics.loss(),
                 .train_top1 = state_.metrics.top1(),
                 .val_loss = NAN,
                 .val_top1 = NAN,
                 .val_top5 = NAN,
                 .data_wait = job_.train.wait_seconds() - epoch_wait_};
  check_weights();
  const bool at_end = m.epoch == options_.epochs;
  std::optional<Evaluation> found;
  std::optional<Averaged> averaged;
  if (at_end || m.epoch % std::max<int64_t>(options_.evaluate_every, 1) == 0) {
    if (job_.ema) averaged.emplace(*job_.ema, job_.network);
    if (measure_norms()) found = evaluate_held_out(text, m);
    if (!found) {
      averaged.reset();
      return save();
    }
  }
  const bool best = found && take_best(m);
  m.seconds = since(epoch_began_);
  state_.epochs = m.epoch;
  state_.epoch_steps = 0;
  state_.epoch_batches = 0;
  state_.metrics = Metrics(int64_t(job_.train.dataset().classes.size()));
  last_ = m;
  // The checkpoint comes last: what a run killed before it has written is written again.
  if (job_.folder) {
    if (best) job_.folder->save_best(io::state_of(job_.network), describe(job_, state_));
    averaged.reset();
    job_.folder->add(m);
    save();
  }
  for (Listener* l : job_.listeners) l->after_epoch(m, found ? &*found : nullptr);
  const std::string held_out =
      found ? fmt::format("  evaluated {} {:.1f}%",
                          job_.held_out.dataset().multi_label ? "mAP" : "top-1", 100 * m.val_top1)
            : "";
  if (line_.due() || at_end) line_.show(text + held_out);
}

/// No checkpoint holds, and no epoch is judged by, weights that the last step has made overflow.
void Trainer::check_weights() const {
  if (const auto fault = fault_of_weights(job_.network))
    fail("train: after step ", state_.steps, " ", *fault,
         "; the checkpoints before it stay; try a lower --lr or --clip-norm");
}

void Trainer::save() {
  check_weights();
  if (job_.folder) job_.folder->save(state_.steps, tensors_of(job_), describe(job_, state_));
}

}  // namespace

TrainResult train(const Job& job, const TrainOptions& options) {
  return Trainer(job, options).run();
}

}  // namespace kinema::engine::train
