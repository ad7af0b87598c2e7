#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>
#include "engine/io/safetensors.h"

namespace kinema::engine::train {

/// The version of what checkpoints hold; an older one is migrated or refused by name.
inline constexpr int64_t checkpoint_format = 1;
/// Names of tensors in a checkpoint that belong to the optimiser, not to the network, begin so.
inline constexpr const char* optimiser_prefix = "optimiser.";

/// A checkpoint is one .safetensors file, so that weights and description never disagree: weights
/// and buffers under their paths, the optimiser's tensors under optimiser_prefix, and as metadata
/// "format" and "run": JSON with what describes the run and where it stands.
struct Checkpoint {
  io::TensorFile tensors;
  nlohmann::json run;
};
void write_checkpoint(const std::filesystem::path& path, const std::vector<io::NamedValue>& tensors,
                      const nlohmann::json& run);
/// Errors: no safetensors file; weights without a description; another format.
Checkpoint read_checkpoint(const std::filesystem::path& path);

/// One line of metrics.csv.
struct EpochMetrics {
  int64_t epoch = 0, step = 0;  ///< done so far
  double learning_rate = 0, train_loss = 0, train_top1 = 0;
  double val_loss = 0, val_top1 = 0, val_top5 = 0;  ///< NaN where nothing was evaluated
  double seconds = 0;                               ///< of this epoch, evaluation included
  double data_wait = 0;                             ///< seconds of these that waited for clips
};

/// The folder of one run: config.json, metrics.csv, last.safetensors, best.safetensors. Until the
/// first checkpoint stands, a run that fails takes away what it made.
class RunFolder {
 public:
  /// Claims `path`, which must not exist or be empty, and writes config.json.
  /// Errors: a folder that is not empty; one that cannot be written.
  RunFolder(const std::filesystem::path& path, const nlohmann::json& config);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void add(const EpochMetrics& metrics);
  /// NAME.safetensors, replaced as a whole.
  void save(const std::string& name, const std::vector<io::NamedValue>& tensors,
            const nlohmann::json& run);

 private:
  std::filesystem::path path_;
  std::filesystem::path made_;  ///< the topmost folder that did not exist before
  std::string lines_;           ///< of metrics.csv
  bool saved_ = false;
};

/// The checkpoint that `path` means: itself, or where it is a run folder its best.safetensors, else
/// last.safetensors. Errors: there is none.
std::filesystem::path checkpoint_of(const std::filesystem::path& path);

}  // namespace kinema::engine::train
