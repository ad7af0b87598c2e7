#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include "engine/data/motion.h"
#include "engine/data/sampling.h"

namespace kinema::engine::video {

namespace {

constexpr double pi = std::numbers::pi;
constexpr double least_radius = 13.5, most_radius = 16.5;               // in the middle of a zoom
constexpr double least_speed = 1, most_speed = 2;                       // pixels a frame
constexpr double least_turn = 5 * pi / 180, most_turn = 10 * pi / 180;  // radians a frame
constexpr double least_zoom = 0.045, most_zoom = 0.065, most_zoom_frames = 19;

/// What a class does to the pose: one of translation, turn and zoom is not zero.
struct Motion {
  double right, down, turn, zoom;
};

constexpr double diagonal = std::numbers::sqrt2 / 2;
/// In the order of motion_classes(): right, down, turn, zoom.
constexpr Motion motions[] = {
    {0, 0, 0, 1},                  // approach
    {0, 1, 0, 0},                  // down
    {-diagonal, diagonal, 0, 0},   // down_left
    {diagonal, diagonal, 0, 0},    // down_right
    {-1, 0, 0, 0},                 // left
    {0, 0, 0, -1},                 // recede
    {1, 0, 0, 0},                  // right
    {0, 0, 1, 0},                  // rotate_clockwise
    {0, 0, -1, 0},                 // rotate_counterclockwise
    {0, -1, 0, 0},                 // up
    {-diagonal, -diagonal, 0, 0},  // up_left
    {diagonal, -diagonal, 0, 0},   // up_right
};

}  // namespace

const std::vector<std::string>& motion_classes() {
  static const std::vector<std::string> names = {"approach",
                                                 "down",
                                                 "down_left",
                                                 "down_right",
                                                 "left",
                                                 "recede",
                                                 "right",
                                                 "rotate_clockwise",
                                                 "rotate_counterclockwise",
                                                 "up",
                                                 "up_left",
                                                 "up_right"};
  return names;
}

void check_motion(const MotionOptions& o) {
  check(o.size >= 16 && o.size <= 4096 && o.size % 2 == 0,
        "motion: size must be even and 16 to 4096 pixels, got ", o.size);
  check(o.frames >= 2 && o.frames <= 10000, "motion: frames must be 2 to 10000, got ", o.frames);
  check(o.clips >= 1, "motion: clips must be positive, got ", o.clips);
  check(o.fps > 0 && o.fps <= 1000, "motion: fps must be above 0 and at most 1000, got ", o.fps);
}

RandomKey motion_key(const MotionOptions& o, int64_t label, int64_t clip, const char* what) {
  const std::string place = std::to_string(label) + "/" + std::to_string(clip) + "/" + what;
  return key_of(o.seed, "motion/" + place);
}

std::vector<MotionPose> motion_poses(const MotionOptions& o, int64_t label, int64_t clip) {
  check_motion(o);
  check(label >= 0 && label < int64_t(std::size(motions)), "motion: expected a class below ",
        std::size(motions), ", got ", label);
  const Motion& motion = motions[label];
  Draws draws(motion_key(o, label, clip, "pose"));
  const double unit = double(o.size) / motion_reference_size;
  const double span = double(o.frames - 1);
  // Every class draws everything, whether it uses it or not.
  const double x = draws.between(0, double(o.size)), y = draws.between(0, double(o.size));
  const double angle = draws.between(0, 2 * pi);
  const double speed = draws.between(least_speed, most_speed) * unit;
  const double turn = draws.between(least_turn, most_turn);
  const double zoom = draws.between(least_zoom, most_zoom) * std::min(span, most_zoom_frames);
  const double size = draws.between(std::log(least_radius), std::log(most_radius));
  const double moment = double(draws.below(o.frames));
  std::vector<MotionPose> poses;
  for (int64_t t = 0; t < o.frames; ++t) {
    const double time = double(t) - span / 2;
    const double zoomed = motion.zoom != 0 ? motion.zoom * time : moment - span / 2;
    poses.push_back({.x = x + motion.right * speed * time,
                     .y = y + motion.down * speed * time,
                     .angle = angle + motion.turn * turn * time,
                     .radius = unit * std::exp(size + zoom * zoomed / span)});
  }
  return poses;
}

}  // namespace kinema::engine::video
