#pragma once
#include <functional>
#include <map>
#include "engine/data/view_rows.h"

namespace kinema::engine::video {

/// The views of one video, one after another in pieces of any size: memory does not grow with their
/// number, nor with the length of the video. Each frame is decoded once; frames that views of a
/// later piece show, too, are kept until then: at most those that one clip spans.
class VideoViews {
 public:
  using PlanOf = std::function<ViewPlan(int64_t view)>;

  /// The recipe's testing views. Errors: a video without frames.
  VideoViews(VideoReader reader, const Recipe& recipe);
  /// `views` views, view v as plan(v) says, for frames after the resize; first frames of later
  /// views never come before those of earlier ones.
  VideoViews(VideoReader reader, const Recipe& recipe, int64_t views, PlanOf plan);
  VideoViews(const VideoViews&) = delete;
  VideoViews& operator=(const VideoViews&) = delete;

  /// Views that next() has not given yet.
  int64_t left() const { return views_ - done_; }
  /// Fills `rows`, at most left(), with as many of the next views.
  void next(ViewRows rows);

 private:
  std::vector<int64_t> shown_later(int64_t first, int64_t last_frame) const;

  VideoReader reader_;
  Recipe recipe_;
  FrameSize size_;  ///< after the resize
  int64_t views_, done_ = 0;
  PlanOf plan_;
  std::map<int64_t, Tensor> kept_;  ///< by frame: u8 [1,1,H,W,3]
};

}  // namespace kinema::engine::video
