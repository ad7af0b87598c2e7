#pragma once
#include <memory>
#include <string>
#include <vector>
#include "engine/data/video.h"

namespace kinema::engine::video {

/// A bar with its name: `share` in [0, 1] of the widest.
struct ScoreBar {
  std::string name;
  double share = 0;
};

/// Draws bars and their names ("jump 87%") into the lower left of frames, by FFmpeg's filters
/// drawbox and drawtext in the system's default font. Of bars that do not fit a small frame the
/// last are left out; long names are shortened.
class ScoreOverlay {
 public:
  /// Errors: this FFmpeg has no such filters, or no font.
  explicit ScoreOverlay(FrameSize size);
  ~ScoreOverlay();
  ScoreOverlay(const ScoreOverlay&) = delete;
  ScoreOverlay& operator=(const ScoreOverlay&) = delete;

  /// What the following frames show, the first bar on top. Costs some milliseconds.
  void show(const std::vector<ScoreBar>& bars);

  /// u8 [1,1,H,W,3] with the bars in it, valid until the next call.
  View draw(const View& rgb);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kinema::engine::video
