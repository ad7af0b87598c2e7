#include "engine/train/trainer.h"
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include "engine/autograd.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/random.h"
#include "engine/train/progress.h"

namespace kinema::engine::train {

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

class Trainer {
 public:
  Trainer(const Job& job, const TrainOptions& options)
      : job_(job), options_(options), line_(options.quiet), steps_an_epoch_(job.train.batches()) {}

  TrainResult run() {
    while (result_.epochs < options_.epochs && !result_.interrupted) run_epoch();
    return result_;
  }

 private:
  void run_epoch();
  void check_finite(double value, const char* what) const;
  double run_step(const video::Batch& batch, Metrics& metrics);
  void tell_step(double rate, int64_t clips);
  void finish_epoch(EpochMetrics& m, const std::string& text);
  std::optional<Evaluation> evaluate_held_out(const std::string& text, EpochMetrics& m);
  void save(const std::string& name, int64_t step_of_epoch);
  std::string progress_text(const Metrics& metrics, int64_t step) const;

  const Job& job_;
  const TrainOptions& options_;
  ProgressLine line_;
  const int64_t steps_an_epoch_;
  TrainResult result_;
  double best_loss_ = INFINITY;
  Clock::time_point began_ = Clock::now(), epoch_began_;
  double wait_before_ = 0;
  double step_loss_ = 0, step_norm_ = NAN, step_wait_ = 0;
  Clock::time_point step_began_ = Clock::now();
};

/// Tells the listeners of the step that has just ended; time and wait count from the one before.
void Trainer::tell_step(double rate, int64_t clips) {
  const double wait = job_.train.wait_seconds(), seconds = since(step_began_);
  const StepMetrics m{.step = result_.steps,
                      .epoch = result_.epochs + 1,
                      .learning_rate = rate,
                      .loss = step_loss_,
                      .gradient_norm = step_norm_,
                      .clips_per_second = double(clips) / seconds,
                      .data_wait = wait - step_wait_,
                      .memory = memory_held()};
  for (Listener* l : job_.listeners) l->after_step(m);
  step_began_ = Clock::now();
  step_wait_ = wait;
}

void Trainer::check_finite(double value, const char* what) const {
  check(std::isfinite(value), "train: the ", what, " is no number at step ", result_.steps + 1,
        "; try a lower --lr or --clip-norm");
}

double Trainer::run_step(const video::Batch& batch, Metrics& metrics) {
  RandomScope random(options_.seed, uint64_t(result_.steps));
  job_.arena.zero_grad();
  const double rate = job_.learning_rate(result_.steps);
  Tensor logits;
  {
    const Tensor scores = job_.forward(batch.clips);
    const Tensor loss =
        softmax_cross_entropy(scores, batch.labels, {.smoothing = options_.label_smoothing});
    logits = scores.detach();
    step_loss_ = item(loss);
    check_finite(step_loss_, "loss");
    metrics.add_loss(step_loss_, batch.labels.size());
    backward(loss);
  }
  if (options_.clip_norm > 0) {
    step_norm_ = optim::clip_gradient_norm(job_.arena, options_.clip_norm);
    check_finite(step_norm_, "gradient's norm");
  }
  job_.optimiser.step(rate);
  metrics.add(logits, batch.labels);
  ++result_.steps;
  return rate;
}

std::string Trainer::progress_text(const Metrics& metrics, int64_t step) const {
  const double epoch_seconds = since(epoch_began_), all_seconds = since(began_);
  const double left = double(options_.epochs * steps_an_epoch_ - result_.steps);
  const double wait = job_.train.wait_seconds() - wait_before_;
  return fmt::format(
      "epoch {}/{}  step {}/{}  loss {:.3f}  top-1 {:.1f}%  {:.1f} clips/s  ETA {}  data wait "
      "{:.0f}%  memory {} MB",
      result_.epochs + 1, options_.epochs, step, steps_an_epoch_, metrics.loss(),
      100 * metrics.top1(), double(metrics.count()) / epoch_seconds,
      clock_text(all_seconds / double(result_.steps) * left), 100 * wait / epoch_seconds,
      memory_held() >> 20);
}

void Trainer::run_epoch() {
  epoch_began_ = Clock::now();
  wait_before_ = step_wait_ = job_.train.wait_seconds();
  step_began_ = Clock::now();
  Metrics metrics(int64_t(job_.train.dataset().classes.size()));
  job_.network.train(true);
  job_.train.start_epoch(result_.epochs);
  EpochMetrics m;
  int64_t step = 0;
  for (video::Batch batch; job_.train.next(batch);) {
    m.learning_rate = run_step(batch, metrics);
    tell_step(m.learning_rate, batch.labels.size());
    ++step;
    if (line_.due()) line_.show(progress_text(metrics, step));
    if (options_.stop && options_.stop()) {
      result_.interrupted = true;
      save("last", step);
      return;
    }
  }
  const std::string text = progress_text(metrics, step);
  m.train_loss = metrics.loss();
  m.train_top1 = metrics.top1();
  m.data_wait = job_.train.wait_seconds() - wait_before_;
  ++result_.epochs;
  finish_epoch(m, text);
}

/// Evaluates and sets the held-out part of m; nothing if the run was stopped meanwhile.
std::optional<Evaluation> Trainer::evaluate_held_out(const std::string& text, EpochMetrics& m) {
  struct Stopped {};
  const auto all = job_.held_out.dataset().samples.size();
  auto progress = [&](int64_t done) {
    if (line_.due()) line_.show(fmt::format("{}  evaluating {}/{}", text, done, all));
    if (options_.stop && options_.stop()) throw Stopped{};
  };
  try {
    Evaluation found =
        evaluate(job_.network, job_.forward, job_.held_out, options_.average, progress);
    m.val_loss = found.metrics.loss();
    m.val_top1 = found.metrics.top1();
    m.val_top5 = found.metrics.top5();
    return found;
  } catch (const Stopped&) {
    result_.interrupted = true;
    return {};
  }
}

void Trainer::finish_epoch(EpochMetrics& m, const std::string& text) {
  m.epoch = result_.epochs;
  m.step = result_.steps;
  m.val_loss = m.val_top1 = m.val_top5 = NAN;
  const bool last = result_.epochs == options_.epochs;
  bool best = false;
  const bool due = last || result_.epochs % std::max<int64_t>(options_.evaluate_every, 1) == 0;
  std::optional<Evaluation> found;
  if (due) found = evaluate_held_out(text, m);
  if (found)
    best = !result_.best_epoch || m.val_top1 > result_.best_top1 ||
           (m.val_top1 == result_.best_top1 && m.val_loss < best_loss_);
  if (best) {
    result_.best_epoch = result_.epochs;
    result_.best_top1 = m.val_top1;
    best_loss_ = m.val_loss;
  }
  m.seconds = since(epoch_began_);
  result_.last = m;
  if (best) save("best", 0);
  save("last", 0);
  if (job_.folder) job_.folder->add(m);
  for (Listener* l : job_.listeners) l->after_epoch(m, found ? &*found : nullptr);
  const std::string held_out =
      std::isnan(m.val_top1) ? "" : fmt::format("  evaluated top-1 {:.1f}%", 100 * m.val_top1);
  if (line_.due() || last) line_.show(text + held_out);
}

void Trainer::save(const std::string& name, int64_t step_of_epoch) {
  if (!job_.folder) return;
  nlohmann::json run = job_.description;
  run["progress"] = {
      {"epoch", result_.epochs},        {"step", result_.steps},
      {"step_of_epoch", step_of_epoch}, {"best_epoch", result_.best_epoch},
      {"best_top1", result_.best_top1}, {"best_loss", std::isfinite(best_loss_) ? best_loss_ : 0}};
  std::vector<io::NamedValue> tensors = io::state_of(job_.network);
  // The best is for use alone; the last is where a run goes on.
  if (name == "last")
    for (const auto& [key, value] : job_.optimiser.state())
      tensors.push_back({optimiser_prefix + key, value});
  job_.folder->save(name, tensors, run);
}

}  // namespace

TrainResult train(const Job& job, const TrainOptions& options) {
  return Trainer(job, options).run();
}

}  // namespace kinema::engine::train
