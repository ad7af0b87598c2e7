#pragma once
#include <memory>
#include "engine/data/video.h"

namespace kinema::engine::video {

/// True for a folder that holds at least one picture: .jpg .jpeg .png in any case, names that start
/// with a dot excepted.
bool is_frame_folder(const std::string& path);

/// True if `a` comes before `b` when runs of digits count as numbers: frame2 before frame10.
bool natural_less(const std::string& a, const std::string& b);

/// A video whose frames are the pictures of one folder, in natural order of their names. Other
/// files are passed over; orientation tags of pictures are not followed. VideoReader opens one
/// where it is given a folder. Not safe for use by two threads at a time.
class FrameFolder {
 public:
  /// Errors: no picture in the folder; the first of them cannot be decoded.
  explicit FrameFolder(const std::string& path);
  ~FrameFolder();

  /// Size and codec of the first picture; the folder says no frame rate.
  const VideoInfo& info() const;
  int64_t frames() const;

  /// As VideoReader::read, `size` given. Errors: a picture that is broken, or not of the first
  /// one's size; a frame outside [0, frames()).
  void read(const std::vector<int64_t>& frames, FrameSize size, const VideoReader::Take& take);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kinema::engine::video
