#pragma once
#include "engine/io/event_file.h"
#include "engine/train/job.h"

namespace kinema::engine::report {

/// Writes a run's TensorBoard events into its folder:
///   step/...         loss, learning_rate, gradient_norm, clips_per_second, data_wait, memory_mb
///   epoch/...        the numbers of metrics.csv
///   weights/NAME, gradients/NAME   histograms of each parameter, after each epoch
///   confusion, filters             pictures, after each evaluation
/// The step of an epoch's entries is the last one of the epoch.
class EventLog : public train::Listener {
 public:
  /// Goes on behind step `done`. What is referred to must outlive it. Errors: a folder that cannot
  /// be written.
  EventLog(const std::filesystem::path& folder, int64_t done, const nn::Module& network,
           const optim::ParameterArena& arena);

  void after_step(const train::StepMetrics& step) override;
  void after_epoch(const train::EpochMetrics& epoch, const train::Evaluation* evaluation) override;

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  const nn::Module& network_;
  const optim::ParameterArena& arena_;
  io::EventFile file_;
};

}  // namespace kinema::engine::report
