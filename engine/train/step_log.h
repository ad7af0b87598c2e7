#pragma once
#include <filesystem>
#include <fstream>
#include <functional>
#include "engine/train/job.h"

namespace kinema::engine::train {

/// One line of steps.csv: a step, and when it ended.
struct LoggedStep {
  StepMetrics metrics;
  double seconds = 0;  ///< that the run had been going, pauses between its parts left out
};

/// steps.csv: a line each step, written out at once, so that a crash costs the last at most. A run
/// that goes on cuts it back to the step it goes on from.
class StepLog : public Listener {
 public:
  /// Goes on behind step `done`: later lines and a last one that was cut short are dropped; a new
  /// file where there is none. Errors: a file that cannot be written; another kind of CSV.
  StepLog(const std::filesystem::path& path, int64_t done);

  /// Errors: a full disk. The log is at its end then: further steps are not written.
  void after_step(const StepMetrics& step) override;

 private:
  std::filesystem::path path_;
  std::ofstream out_;
  std::chrono::steady_clock::time_point began_;
};

/// Calls `take` for each whole line, in order. Memory does not grow with the file.
/// Errors: no such file; other columns; a damaged line, numbered.
void read_steps(const std::filesystem::path& path,
                const std::function<void(const LoggedStep&)>& take);

}  // namespace kinema::engine::train
