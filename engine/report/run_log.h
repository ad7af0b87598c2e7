#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include "engine/report/event_log.h"
#include "engine/report/run_data.h"
#include "engine/train/step_log.h"
#include "engine/train/trainer.h"

namespace kinema::engine::report {

/// Keeps the record of a run in its folder: steps.csv, evaluation.csv (the scores of the last
/// evaluation), TensorBoard events, status.json and report.html. The page is written again after
/// each evaluation and at least once a minute, unless that took more than a twentieth of the
/// time since: then later. Nothing here ends a run: what cannot be written is one warning.
class RunLog : public train::Listener {
 public:
  using Warn = std::function<void(const std::string& sentence)>;

  /// What a record needs beside what listeners hear. All must outlive it.
  struct Run {
    std::filesystem::path folder;
    int64_t done = 0;  ///< steps of the checkpoint that the run goes on from; 0: a new run
    const nn::Module& network;
    const optim::ParameterArena& arena;
    const video::Dataset& held_out;
  };

  /// `status` says what it knows; state and times are set here.
  RunLog(const Run& run, Status status, Warn warn);

  void after_step(const train::StepMetrics& step) override;
  void after_epoch(const train::EpochMetrics& epoch, const train::Evaluation* evaluation) override;

  /// Returns what `train` does and records how it ended: finished, interrupted or, where it throws,
  /// failed and why. A run that failed before its first checkpoint leaves nothing.
  train::TrainResult watch(const std::function<train::TrainResult()>& train);

 private:
  using Clock = std::chrono::steady_clock;
  void attempt(const char* what, const std::function<void()>& work);
  void write_page(bool last);
  void finish(const std::string& state, const std::string& reason);
  void take_away();

  Run run_;
  Status status_;
  Warn warn_;
  bool warned_ = false;
  std::optional<train::StepLog> steps_;
  std::optional<EventLog> events_;
  Clock::time_point written_ = Clock::now();
  double cost_ = 0;  ///< seconds of the last writing of the page
};

}  // namespace kinema::engine::report
