#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>
#include "engine/io/lock.h"
#include "engine/train/checkpoint.h"

namespace kinema::engine::train {

/// One line of metrics.csv. Of a multi-label data set val_top1 is the mean average precision,
/// val_top5 the share of videos whose highest score is one of their labels, train_top1 that of
/// clips.
struct EpochMetrics {
  int64_t epoch = 0, step = 0;  ///< done so far
  double learning_rate = 0, train_loss = 0, train_top1 = 0;
  double val_loss = 0, val_top1 = 0, val_top5 = 0;  ///< NaN where nothing was evaluated
  double seconds = 0;    ///< of this epoch in this process, evaluation included
  double data_wait = 0;  ///< seconds of these that waited for clips
};

/// The folder of one run, held by one process: config.json, metrics.csv, step-NNNNNNNN.safetensors
/// for each of the last checkpoints, last.safetensors (a link to the newest) and best.safetensors.
/// Whatever is written replaces what was there as a whole, or leaves it.
class RunFolder {
 public:
  using Warn = std::function<void(const std::string& sentence)>;

  /// Claims `path` for a new run: it must not exist, or be empty. Writes config.json. Until the
  /// first checkpoint stands, a run that fails takes away what it made.
  /// Errors: a folder that is not empty; one that cannot be written to.
  RunFolder(const std::filesystem::path& path, const nlohmann::json& config);
  /// Takes up the run in `path`; what a killed process left half-written goes.
  /// Errors: no run folder; another process is at work in it; it cannot be written to.
  explicit RunFolder(const std::filesystem::path& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// How many checkpoints stay beside the best; at least 1.
  void keep(int64_t checkpoints) { keep_ = checkpoints; }

  /// The newest checkpoint that can be read; none where the run wrote none. Those after it are
  /// renamed to NAME.damaged, `warn` told why. Errors: there are some, but none can be read; the
  /// newest has another format.
  std::optional<Checkpoint> newest(const Warn& warn);
  /// Leaves the lines of the first `epochs` epochs in metrics.csv.
  void cut_metrics(int64_t epochs, const Warn& warn);

  void add(const EpochMetrics& metrics);
  /// The checkpoint of step `step`; of those before, only as many stay as keep() says.
  void save(int64_t step, const std::vector<io::NamedValue>& tensors, const nlohmann::json& run);
  void save_best(const std::vector<io::NamedValue>& tensors, const nlohmann::json& run);

 private:
  void take_away() const;
  void write(const char* what, const std::function<void()>& write) const;
  void forget_old_checkpoints() const;

  std::filesystem::path path_;
  std::filesystem::path made_;  ///< the topmost folder that did not exist before
  std::unique_ptr<io::FolderLock> lock_;
  std::string lines_;  ///< of metrics.csv
  int64_t keep_ = 2;
  bool lasting_ = false;  ///< holds what must stay
};

/// The checkpoint that `path` means: itself, or where it is a run folder its best.safetensors, else
/// the newest. Errors: there is none.
std::filesystem::path checkpoint_of(const std::filesystem::path& path);

}  // namespace kinema::engine::train
