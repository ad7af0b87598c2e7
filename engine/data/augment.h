#pragma once
#include "engine/data/transform.h"

namespace kinema::engine::video {

/// `to` = the part of `from` of size `window` at `corner`, scaled: bilinear, its triangle widened
/// where it shrinks so that nothing aliases, rows before columns in f32, rounded once (halves to
/// even). The part alone is seen, as if it had been cut out before; as Pillow's and torchvision's
/// antialiased resize. Both u8 [1,1,H,W,3], pixels dense.
void scale_window(const View& from, Corner corner, FrameSize window, const View& to);

/// Changes colours in place; `frame` is f32 [1,1,H,W,3] within [0,1], red, green, blue, pixels
/// dense. In the order of `c`; each result is clamped to [0,1]:
///   0 brightness  v * f                               1 contrast    f * v + (1 - f) * m
///   2 saturation  f * v + (1 - f) * grey(v)           3 hue         turned by `hue` in HSV
/// with grey(v) = 0.2989 R + 0.587 G + 0.114 B, and m the mean grey of the frame. Factors of 1 and
/// a hue of 0 change nothing. Source: torchvision 0.14, functional_tensor.adjust_*.
void change_colours(const ColourChange& c, const View& frame);

/// One frame of a row: `plan`'s part of `frame` (u8 [1,1,H,W,3], resized) as normalise() writes it
/// to `to`, scaled and its colours changed on the way where the plan says so.
void show(const View& frame, const Recipe& r, const ViewPlan& plan, const View& to);

}  // namespace kinema::engine::video
