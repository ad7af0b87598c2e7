#pragma once
#include "engine/data/transform.h"

namespace kinema::engine::video {

/// `to` = the part of `from` of size `window` at `corner`, scaled as clip_transform() scales. Both
/// u8 [1,1,H,W,3], pixels dense.
void scale_window(const View& from, Corner corner, FrameSize window, const View& to);

using engine::change_colours;

/// One frame of a row: `plan`'s part of `frame` (u8 [1,1,H,W,3], resized) as normalise() writes it
/// to `to`, scaled and its colours changed on the way where the plan says so.
void show(const View& frame, const Recipe& r, const ViewPlan& plan, const View& to);

}  // namespace kinema::engine::video
