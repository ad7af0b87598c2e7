#pragma once
#include <memory>
#include <optional>
#include <string>
#include "engine/train/run_folder.h"
#include "tools/base/options.h"

namespace kinema::tools {

/// A run that --resume takes up.
struct ResumedRun {
  std::unique_ptr<engine::train::RunFolder> folder;
  std::optional<engine::train::Checkpoint> checkpoint;  ///< none: it was killed before its first
  nlohmann::json config;                                ///< its description

  /// A number of the checkpoint's "progress": "epoch", "step"; 0 without a checkpoint.
  int64_t progress(const char* name) const;
};

/// Holds the run folder at `path`, finds its newest checkpoint and sets `options` as the run had
/// them. Says on stderr what cannot go on exactly as it was.
/// Errors: options given beside --resume that would change the results (a UsageError that names
/// them); a checkpoint or configuration that cannot be read; RunFolder's.
ResumedRun take_up(const std::string& path, Options& options);

/// The options for config.json, with paths that hold from every folder, and which were given.
void describe_options(const Options& options, nlohmann::json& config);

/// Throws Error where `now`, a description like that of the run, has other videos under "data".
void check_same_data(const nlohmann::json& then, const nlohmann::json& now);

/// One warning where `now` names other threads, libraries or instructions than the checkpoint's
/// description.
void warn_of_differences(const nlohmann::json& then, const nlohmann::json& now);

/// "train: warning: ..." on stderr.
void warn(const std::string& sentence);

}  // namespace kinema::tools
