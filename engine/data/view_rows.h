#pragma once
#include <new>
#include <span>
#include "engine/data/transform.h"

namespace kinema::engine::video {

/// A row of a batch before its transform: clip_transform() of `frames` by `plan` makes the row.
struct RawClip {
  /// u8 [1,T,h,w,3] in memory of the host: the part of the frames that the row shows, cut out. It
  /// never takes more bytes than the row in f32: a larger part is scaled already.
  Tensor frames;
  ClipPlan plan;
};

/// No memory for rows: no fault of the video that they show.
class NoRoom : public std::bad_alloc {
 public:
  explicit NoRoom(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

/// The rows that the views of one video fill, frame by frame as these come. Inside engine/data/.
class ViewRows {
 public:
  /// `clips` f32 [V,T,H,W,3] become what clip_transform() makes of the frames.
  ViewRows(const View& clips) : clips_(clips), count_(clips.shape[0]) {}
  /// V raw clips, which begin() makes.
  ViewRows(std::span<RawClip> raw) : raw_(raw), count_(int64_t(raw.size())) {}

  int64_t count() const { return count_; }

  /// What the rows show: a plan each. Errors: NoRoom.
  void begin(const Recipe& recipe, std::vector<ViewPlan> plans);

  /// The frames that any row shows, ascending.
  std::vector<int64_t> frames() const;

  /// Writes frame `number` (u8 [1,1,H,W,3], resized) to each place that shows it.
  void put(const View& frame, int64_t number) const;

 private:
  void put_at(const View& frame, size_t row, int64_t time) const;

  View clips_;
  std::span<RawClip> raw_;
  int64_t count_;
  Recipe recipe_;
  std::vector<ViewPlan> plans_;
};

}  // namespace kinema::engine::video
