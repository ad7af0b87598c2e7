#pragma once
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>
#include "engine/report/chart.h"
#include "engine/train/scores_csv.h"

namespace kinema::engine::report {

/// How a run stands; status.json in its folder.
struct Status {
  std::string state = "running";  ///< or "finished", "interrupted", "failed"
  std::string reason;             ///< of a failure
  std::string began, updated;     ///< times of day, UTC
  std::string command, machine;
  std::string folder;  ///< that relative paths of videos count from
  int64_t epochs = 0;  ///< that the run is to do
};
void to_json(nlohmann::json& j, const Status& s);
/// Fields that are missing keep their defaults.
void from_json(const nlohmann::json& j, Status& s);

/// "2026-11-22 15:46:45 UTC".
std::string time_text();

/// All that a run folder tells about its run. What is not there, or cannot be read, is empty.
struct RunData {
  nlohmann::json config;
  Status status;
  /// metrics.csv by column; NaN where a field is empty.
  std::map<std::string, std::vector<double>> epochs;
  int64_t steps = 0;             ///< lines of steps.csv
  double seconds = 0, wait = 0;  ///< of these steps
  double memory = 0;             ///< the most that any step held, bytes
  Curve loss{"loss"}, rate{"learning rate"}, norm{"gradient norm"}, speed{"clips a second"};
  Curve wait_curve{"data wait"}, memory_curve{"memory"};  ///< over seconds; the others over steps
  std::vector<train::Score> scores;                       ///< of the last evaluation
  std::vector<std::vector<std::string>> skipped;          ///< skipped.csv, its header first
  int64_t skipped_lines = 0;  ///< in all; `skipped` holds the first ones

  /// The last number of a column that is there; NaN if none is.
  double last(const std::string& column) const;
};

/// Reads config.json, status.json, metrics.csv, steps.csv, evaluation.csv and skipped.csv.
/// Memory does not grow with the length of the run. Errors: no config.json, so no run folder.
RunData read_run(const std::filesystem::path& folder);

}  // namespace kinema::engine::report
