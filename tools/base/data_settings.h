#pragma once
#include <memory>
#include <string>
#include "engine/data/dataset.h"
#include "engine/data/frame_cache.h"
#include "engine/data/video_index.h"
#include "tools/base/options.h"

namespace kinema::tools {

/// What is trained on and what is evaluated.
struct TrainingData {
  engine::video::Dataset train, held_out;
  std::string evaluated;  ///< what the second is, for people
};

/// Options that training and evaluation share: where labelled videos are.
class DataSettings {
 public:
  /// `command` begins the text of refusals.
  explicit DataSettings(std::string command) : command_(std::move(command)) {}

  void declare(Options& options);
  /// Those of training alone: what is held out.
  void declare_held_out(Options& options);
  /// "COMMAND: warning: SENTENCE" as a line of standard error.
  void warn(const std::string& sentence) const;

  /// Mistakes that can be told without looking at data.
  void check() const;

  /// Both sets; thin classes are said as warnings. Errors: lists and folders that cannot be read;
  /// held-out videos of classes that training does not have.
  TrainingData training(uint64_t seed) const;

  /// The set to evaluate a network on that knows `classes`; of an official split the testing part.
  engine::video::Dataset evaluation(const std::vector<std::string>& classes,
                                    bool multi_label) const;

  /// The index of these sets, built with a progress line where it must be.
  std::shared_ptr<const engine::video::VideoIndex> index(
      const std::vector<const engine::video::Dataset*>& sets, int64_t threads, bool quiet) const;
  /// Null without --frame-cache.
  std::shared_ptr<engine::video::FrameCache> frame_cache() const;

 private:
  engine::video::Dataset read(const std::string& path, const std::vector<std::string>& known,
                              std::optional<bool> multi_label) const;
  engine::video::Split official() const;

  std::string command_, data_, val_, root_, split_, classes_, index_, frame_cache_;
  double val_fraction_ = 0;
  int64_t fold_ = 1;
};

}  // namespace kinema::tools
