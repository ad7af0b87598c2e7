#include "engine/data/augment.h"

namespace kinema::engine::video {

void scale_window(const View& from, Corner corner, FrameSize window, const View& to) {
  check(corner.y >= 0 && corner.x >= 0 && corner.y + window.height <= from.shape[2] &&
            corner.x + window.width <= from.shape[3] && window.height > 0 && window.width > 0,
        "scale: a part of ", window.height, "x", window.width, " at ", corner.y, ",", corner.x,
        " leaves ", from.shape);
  scale_frames({.top = corner.y, .left = corner.x, .height = window.height, .width = window.width},
               from, to);
}

void show(const View& frame, const Recipe& r, const ViewPlan& plan, const View& to) {
  const ClipPlan clip{.top = plan.corner.y,
                      .left = plan.corner.x,
                      .height = plan.window.height,
                      .width = plan.window.width,
                      .mirrored = plan.mirrored,
                      .colour = plan.colour};
  clip_transform({r.mean, r.deviation}, {&clip, 1}, frame, to);
}

}  // namespace kinema::engine::video
