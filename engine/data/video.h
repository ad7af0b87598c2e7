#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include "engine/tensor.h"

// Everything in engine/data/ is in namespace video: `engine::data` is the function that gives a
// tensor's pointer, and C++ takes no namespace of the same name beside it.
namespace kinema::engine::video {

/// Height and width of a frame in pixels; 0 x 0 stands for "as stored".
struct FrameSize {
  int64_t height = 0, width = 0;
  bool operator==(const FrameSize&) const = default;
};

/// What the file's header says. `size` is as shown, after the rotation that the file asks for.
struct VideoInfo {
  FrameSize size;
  double fps = 0;               ///< frames a second on average; 0: not said
  double duration_seconds = 0;  ///< 0: not said
  int64_t frames = -1;          ///< an estimate, see VideoReader::frames(); -1: not said
  int rotation = 0;             ///< clockwise degrees from stored to shown: 0, 90, 180 or 270
  std::string codec;            ///< FFmpeg's name, as in h264
};

/// What reading through a file once tells of its frames: enough to go to any of them.
struct FrameList {
  /// A packet where decoding can begin; in the stream's time base.
  struct Key {
    int64_t pts = 0, dts = 0;
    bool operator==(const Key&) const = default;
  };
  int64_t frames = 0;
  /// False: timestamps tell too little, and frames are counted from the start of the file.
  bool by_timestamp = true;
  std::vector<int64_t> timestamps = {};  ///< of the frames, ascending, if by_timestamp
  std::vector<Key> keys = {};            ///< ascending, if by_timestamp
  bool operator==(const FrameList&) const = default;
};

struct ReaderOptions {
  int threads = 1;               ///< of the decoder
  double patience_seconds = 30;  ///< the longest wait for the next frame or packet
};

/// Reads RGB frames of one file, or of a folder of pictures (see frame_folder.h). Frame i is, bit
/// for bit, the i-th that this command writes:
///   ffmpeg -i FILE -fps_mode passthrough -sws_flags bilinear+accurate_rnd+full_chroma_int
///          [-autoscale 0 -vf scale=WIDTH:HEIGHT] -f rawvideo -pix_fmt rgb24 FRAMES
/// That is: the largest video stream, pictures turned and mirrored as its display matrix says,
/// BT.601, 709 or 2020 and limited or full range as each frame says, stored pixels taken for
/// square.
///
/// The reader lists the timestamps of the file's packets once, seeks to the last key frame before,
/// decodes forward and takes the frame with this timestamp. Where packets say too little (no
/// timestamps, codecs that hide frames, a file that breaks off) it decodes the file once to list
/// its frames; where frames say too little as well it decodes from the start each time: slower,
/// still exact. Damage that shows only later makes it list by decoding then, see read(). Not safe
/// for use by two threads at a time.
class VideoReader {
 public:
  /// Errors, each naming the file: not there, not a regular file, empty, no video, no video stream,
  /// no decoder, frames of more than 16384 pixels a side or 2^26 in all, no progress for
  /// options.patience_seconds.
  explicit VideoReader(const std::string& path, ReaderOptions options = {});
  ~VideoReader();
  VideoReader(VideoReader&&) noexcept;
  VideoReader& operator=(VideoReader&&) noexcept;

  const VideoInfo& info() const;

  /// The exact number of frames; reads through the file once.
  int64_t frames();

  /// What that reading found. Empty but for the number of frames where a folder is read.
  const FrameList& list();
  /// Takes what list() said of the same file before, and so saves reading through it. To be called
  /// before anything is read.
  void set_list(FrameList known);

  /// One decoded frame: u8 [1,1,H,W,3], valid until the call returns.
  using Take = std::function<void(int64_t frame, const View& rgb)>;

  /// Calls `take` for each of `frames`, which must ascend, scaled to `size` in the same pass as the
  /// conversion to RGB (bilinear, widened where it shrinks, so that nothing aliases). Going on from
  /// the last frame read costs no seek. Should frames turn out to be missing in the file, they are
  /// counted anew and `take` is called again from the first of `frames` on.
  /// Errors: a frame outside [0, frames()); no progress.
  void read(const std::vector<int64_t>& frames, FrameSize size, const Take& take);

  /// u8 [1,T,H,W,3]: these frames in any order, repeats too, decoded in ascending order.
  Tensor read(const std::vector<int64_t>& frames, FrameSize size = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kinema::engine::video
