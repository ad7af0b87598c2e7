#include "engine/train/run_state.h"
#include <cmath>
#include "engine/ops/copy.h"

namespace kinema::engine::train {

using nlohmann::json;

namespace {

std::vector<io::NamedValue> prefixed(const std::string& part, std::vector<io::NamedValue> tensors) {
  for (io::NamedValue& t : tensors) t.name = state_prefix + part + "." + t.name;
  return tensors;
}

/// What optimiser and parts keep, by its names in a checkpoint.
std::vector<io::NamedValue> state_tensors(const Job& job) {
  std::vector<io::NamedValue> all;
  for (const auto& [name, value] : job.optimiser.state()) all.push_back({name, value});
  all = prefixed("optimiser", std::move(all));
  if (job.ema) {
    std::vector<io::NamedValue> averages;
    for (const auto& [name, value] : job.ema->state()) averages.push_back({name, value});
    for (io::NamedValue& t : prefixed("ema", std::move(averages))) all.push_back(std::move(t));
  }
  for (const Stateful* part : job.parts)
    for (io::NamedValue& t : prefixed(part->name(), part->tensors())) all.push_back(std::move(t));
  return all;
}

void restore_progress(const json& progress, RunState& s) {
  progress.at("epoch").get_to(s.epochs);
  progress.at("step").get_to(s.steps);
  progress.at("step_of_epoch").get_to(s.epoch_steps);
  s.epoch_batches.reset();
  if (progress.contains("batch_of_epoch"))
    s.epoch_batches = progress["batch_of_epoch"].get<int64_t>();
  progress.at("best_epoch").get_to(s.best_epoch);
  progress.at("best_top1").get_to(s.best_top1);
  // JSON has null for what is no number.
  const json& best_loss = progress.at("best_loss");
  if (s.best_epoch) s.best_loss = best_loss.is_null() ? NAN : best_loss.get<double>();
  // Format 1 held neither; the epoch's means count from here on then.
  if (progress.contains("learning_rate")) progress["learning_rate"].get_to(s.learning_rate);
  if (progress.contains("sums")) s.metrics.restore(progress["sums"]);
}

}  // namespace

json describe(const Job& job, const RunState& s) {
  json run = job.description;
  run["progress"] = {{"epoch", s.epochs},
                     {"step", s.steps},
                     {"step_of_epoch", s.epoch_steps},
                     {"batch_of_epoch", s.epoch_batches.value_or(0)},
                     {"learning_rate", s.learning_rate},
                     {"sums", s.metrics.sums()},
                     {"best_epoch", s.best_epoch},
                     {"best_top1", s.best_top1},
                     {"best_loss", s.best_loss}};
  json& parts = run["state"] = json::object();
  for (const Stateful* part : job.parts) parts[part->name()] = part->values();
  return run;
}

std::vector<io::NamedValue> tensors_of(const Job& job) {
  std::vector<io::NamedValue> all = io::state_of(job.network);
  for (io::NamedValue& t : state_tensors(job)) all.push_back(std::move(t));
  return all;
}

RunState first_state(const Job& job) {
  RunState state(int64_t(job.train.dataset().classes.size()));
  if (!job.resume) return state;
  Checkpoint& from = *job.resume;
  try {
    restore_progress(from.run.at("progress"), state);
    for (Stateful* part : job.parts) part->restore(from.run.at("state").at(part->name()));
  } catch (const json::exception& e) {
    fail("resume: the checkpoint lacks a part of the run's state: ", e.what());
  }
  check(state.epoch_steps <= job.train.batches(), "resume: the checkpoint stands at step ",
        state.epoch_steps, " of an epoch, but the videos make ", job.train.batches());
  io::load_state(job.network, from.tensors, "the checkpoint", state_prefix);
  for (const auto& [name, value] : state_tensors(job)) {
    const Tensor found = from.tensors.find(name);
    check(bool(found), "resume: the checkpoint lacks ", name);
    check(found.shape() == value.shape() && found.dtype() == value.dtype(),
          "resume: the checkpoint's ", name, " has another shape or type");
    copy(found, value);
  }
  job.arena.update_working();
  from.tensors.tensors.clear();
  return state;
}

}  // namespace kinema::engine::train
