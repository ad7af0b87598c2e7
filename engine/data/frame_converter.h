#pragma once
#include "engine/data/ffmpeg.h"
#include "engine/data/video.h"

namespace kinema::engine::video {

/// How stored pixels become shown ones: transposed first, then mirrored.
struct Orientation {
  bool transpose = false, mirror_x = false, mirror_y = false;
  int rotation = 0;  ///< clockwise degrees, for VideoInfo
};

/// What the display matrix of `stream` asks for, to the nearest quarter turn.
Orientation orientation_of(const AVStream* stream);

/// Decoded frames to RGB of one size: libswscale, then the quarter turns.
class FrameConverter {
 public:
  /// u8 [1,1,H,W,3] of `size` (as shown), valid until the next call.
  View convert(const AVFrame* frame, FrameSize size, const Orientation& orientation);

 private:
  void prepare(const AVFrame* frame, FrameSize stored);

  ffmpeg::Owned<SwsContext> scaler_;
  int width_ = 0, height_ = 0, format_ = -1, space_ = -1, range_ = -1;  // of the scaler's input
  FrameSize to_;                                                        // of its output
  Tensor stored_, shown_;
};

}  // namespace kinema::engine::video
