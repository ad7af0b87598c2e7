#pragma once
#include <functional>
#include <string>
#include <vector>
#include "engine/data/frame_cache.h"
#include "engine/random.h"
#include "engine/tensor.h"

namespace kinema::engine::video {

/// What generate_motion makes. Lengths in pixels scale with size / 64.
struct MotionOptions {
  uint64_t seed = 1;
  int64_t size = 64;    ///< height and width, pixels; even, at least 16
  int64_t frames = 20;  ///< of a clip; at least 2
  int64_t clips = 100;  ///< of each class
  double fps = 25;
  bool operator==(const MotionOptions&) const = default;
};

/// Throws Error unless every option makes sense.
void check_motion(const MotionOptions& options);

/// The 12 classes by name: approach, down, down_left, down_right, left, recede, right,
/// rotate_clockwise, rotate_counterclockwise, up, up_left, up_right.
const std::vector<std::string>& motion_classes();

/// The frame size at which lengths are given in pixels; they grow with the frame.
constexpr double motion_reference_size = 64;

/// Where the shape is in one frame; pixels and radians, y downwards, a growing angle clockwise.
/// x and y are on the torus: any multiple of the size may be added.
struct MotionPose {
  double x = 0, y = 0, angle = 0, radius = 1;
};

/// The poses of clip `clip` of class `label`, one a frame:
///   translation  1 to 2 px a frame, leaving on one side and entering on the opposite one
///   rotation     5 to 10 degrees a frame about the middle of the shape
///   zoom         4.5 to 6.5 % a frame (less where a clip is long: at most 3.5-fold in all)
/// **No single frame tells the class**: the pose of a frame drawn at random from a clip drawn at
/// random has the same distribution in all classes.
/// The place is uniform on the torus and the angle uniform, at each frame, hence also after any
/// shift or turn. The logarithm of the radius is m + z (u - 1/2) with m uniform, z the whole zoom
/// of a clip, u uniform over the frames' times in [0, 1]: over the frames of a zooming clip u runs
/// through these times (either way), and in each other class one u is drawn for the clip.
/// (The distribution at a given frame is not the same: approaching shapes begin small. Only who
/// knows which frame it is, or sees several, could use that.)
std::vector<MotionPose> motion_poses(const MotionOptions& options, int64_t label, int64_t clip);

/// The random numbers of one clip; `what` is "pose" or "look".
RandomKey motion_key(const MotionOptions& options, int64_t label, int64_t clip, const char* what);

/// The clip as u8 [1,frames,size,size,3]: a textured shape (polygon, ellipse or blob; noise,
/// checker, stripes or dots of two colours) that moves over a still textured background. Looks are
/// drawn alike in all classes. Depends on seed, size and frames, label and clip alone.
Tensor render_motion(const MotionOptions& options, int64_t label, int64_t clip);

/// Called with clips done and clips in all, from one thread at a time.
using Progress = std::function<void(int64_t done, int64_t all)>;

/// Writes FOLDER/CLASS/00000.mp4 ... and FOLDER/motion.json, on `threads` threads (0: all cores).
/// Coding is lossless but for the rounding to YCbCr 4:4:4 (about 1 level in 255), a function of
/// each frame alone, so that artefacts cannot tell the motion either (4:2:0 MPEG-4 of the best
/// quality where FFmpeg lacks libx264). An interrupted run is finished by the same call: files that
/// exist are kept. Errors: a folder that is not empty and holds no motion.json with the same
/// options; options that make no sense.
void generate_motion(const std::string& folder, const MotionOptions& options, int threads = 0,
                     const Progress& progress = {});

/// The same clips without a codec: their frames, as they were drawn, go into `frames`, and
/// FOLDER/list.csv names them, path and class, so that list and cache stand in for the videos, also
/// where there is no FFmpeg. Errors: generate_motion's; a cache that cannot be written to.
void generate_motion_frames(const std::string& folder, FrameCache& frames,
                            const MotionOptions& options, int threads = 0,
                            const Progress& progress = {});

}  // namespace kinema::engine::video
