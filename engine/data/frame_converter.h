#pragma once
#include <array>
#include <optional>
#include "engine/data/ffmpeg.h"
#include "engine/data/video.h"

namespace kinema::engine::video {

/// Decoded frames to RGB of one size, by the filters that the ffmpeg program would put in their
/// way: turned and mirrored as stored, then scaled and converted in one pass of libswscale.
class FrameConverter {
 public:
  /// `display_matrix`: the stream's 9 numbers, null if it has none. A frame's own comes first.
  explicit FrameConverter(const int32_t* display_matrix = nullptr);

  /// Clockwise degrees from stored to shown, to the nearest quarter turn.
  int rotation() const;

  /// u8 [1,1,H,W,3] of `size` (as shown), valid until the next call.
  View convert(const AVFrame* frame, FrameSize size);

 private:
  using Matrix = std::array<int32_t, 9>;

  /// What the filters are made for.
  struct Setting {
    int width = 0, height = 0, format = -1, space = -1, range = -1;
    FrameSize size;
    std::optional<Matrix> matrix;
    bool operator==(const Setting&) const = default;
  };

  void build(const Setting& setting);

  std::optional<Matrix> matrix_;  // of the stream
  Setting built_;
  ffmpeg::Owned<AVFilterGraph> graph_;
  AVFilterContext *source_ = nullptr, *sink_ = nullptr;  // of graph_
  ffmpeg::Owned<AVFrame> out_;
};

}  // namespace kinema::engine::video
