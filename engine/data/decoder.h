#pragma once
#include <chrono>
#include <string>
#include "engine/data/ffmpeg.h"
#include "engine/data/video.h"

namespace kinema::engine::video {

/// What bounds one file's memory, whatever its header promises: 8192x8192 pixels a frame (8K video
/// is half of that) and 512 MB an allocation.
constexpr int most_side = 16384;
constexpr int64_t most_pixels = int64_t(1) << 26;
constexpr size_t most_bytes_at_once = size_t(1) << 29;

/// Frames of one file: 6 days at 30 frames a second.
constexpr int64_t most_frames = int64_t(1) << 24;

/// Ends FFmpeg's waiting and searching when nothing has come for too long.
class Patience {
 public:
  explicit Patience(double seconds) : seconds_(seconds) { renew(); }
  void renew() { since_ = Clock::now(); }
  double seconds() const { return seconds_; }
  bool ended() const {
    return std::chrono::duration<double>(Clock::now() - since_).count() >= seconds_;
  }
  /// For FFmpeg to ask while it reads; this object must outlive it.
  AVIOInterruptCB callback() {
    return {[](void* self) { return int(static_cast<Patience*>(self)->ended()); }, this};
  }

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_;
  Clock::time_point since_;
};

/// One open file: packets of its video stream in, frames out. The stream is the one that the ffmpeg
/// program takes: the largest, pictures that go with a song left out. The file alone is opened:
/// playlists and references to other files are refused.
class Decoder {
 public:
  /// `probe`: decode the beginning for what the header does not say. Without it a header that says
  /// all is believed, which saves 1 to 3 ms. Errors name `path`.
  Decoder(const std::string& path, const ReaderOptions& options, bool probe);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// The next frame as the decoder gives them; null at the end. Damaged packets are passed over and
  /// counted. Errors: nothing comes for options.patience_seconds.
  const AVFrame* next();

  /// From now on frames come as before, but their pixels are wrong: saves time where frames are
  /// only counted.
  void skip_pixels();

  /// The next packet of the video stream that holds data, undecoded; null at the end.
  const AVPacket* next_packet();

  /// Goes to a key frame at or before `timestamp`, where the container leads to one; what lies
  /// before the first key frame there is dropped. Its timestamp, or AV_NOPTS_VALUE.
  int64_t seek(int64_t timestamp);

  const AVCodecContext* codec() const { return codec_.get(); }
  const AVFormatContext* format() const { return format_.get(); }
  const AVStream* stream() const { return stream_; }

  /// True where packets are found by an index in the file (.mp4, .avi), not by reading all.
  bool indexed() const;

  /// True once something was broken: a packet, a frame, or the end of the file.
  bool damaged() const { return damaged_; }

 private:
  void open_file();
  void open_stream(int threads);
  const AVPacket* read_packet();
  void check_patience() const;

  std::string path_;
  Patience patience_;
  ffmpeg::Owned<AVIOContext> file_;  // outlives format_
  ffmpeg::Owned<AVFormatContext> format_;
  ffmpeg::Owned<AVCodecContext> codec_;
  ffmpeg::Owned<AVPacket> packet_{av_packet_alloc()};
  ffmpeg::Owned<AVFrame> frame_{av_frame_alloc()};
  AVStream* stream_ = nullptr;
  bool waiting_ = false;  // packet_ is the first after a seek, not yet decoded
  bool drained_ = false;
  bool damaged_ = false;
};

}  // namespace kinema::engine::video
