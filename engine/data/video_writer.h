#pragma once
#include <memory>
#include <string>
#include "engine/tensor.h"

namespace kinema::engine::video {

/// How a video is encoded.
struct VideoOptions {
  double fps = 25;
  int quality = 12;            ///< constant quantiser: 0 lossless, 12 hardly visible, 51 worst
  int64_t key_distance = 250;  ///< frames between key frames; 1 codes each frame by itself
  int b_frames = 0;            ///< frames in a row that are predicted from later ones too
  int rotation = 0;            ///< clockwise degrees that players turn the picture by
  bool full_colour =
      false;  ///< 4:4:4 instead of 4:2:0 (libx264 only): exact colours, fewer players
};

/// Writes RGB frames to an .mp4 file: H.264 by libx264 on one thread, MPEG-4 part 2 where FFmpeg
/// lacks that. The file gets its name when close() ends well; until then it is PATH.part, which the
/// destructor removes. Frames of odd size need full_colour.
class VideoWriter {
 public:
  /// Errors: the folder cannot be written; a size that the encoder refuses.
  VideoWriter(const std::string& path, int64_t height, int64_t width, VideoOptions options = {});
  ~VideoWriter();
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  /// Appends the frames of u8 [1,T,H,W,3], pixels dense.
  void write(const View& frames);

  /// Ends the file and gives it its name.
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kinema::engine::video
