#include "kernels/clip_transform/clip_transform.h"

namespace kinema::kernels {

namespace {

constexpr const char* op = "clip_transform";

void check_frames(const char* what, const View& v) {
  check(v.shape.rank == 5 && v.shape[4] == 3, op, ": ", what, " must be [N,T,H,W,3], got ",
        v.shape);
}

void check_dense_frames(const char* what, const View& v, Dtype type) {
  check_frames(what, v);
  check(v.dtype == type, op, ": ", what, " must be ", type, ", got ", v.dtype);
  check(v.shape[3] <= 1 || v.stride(3) == 3, op, ": pixels of ", what,
        " must be dense, got a stride of ", v.stride(3));
}

void check_fits(const View& frames, const View& to) {
  check(to.shape[0] == frames.shape[0] && to.shape[1] == frames.shape[1], op,
        ": expected as many clips and frames as in ", frames.shape, ", got ", to.shape);
}

void check_window(const ClipPlan& p, const View& frames, const View& to) {
  const int64_t height = p.scales() ? p.height : to.shape[2],
                width = p.scales() ? p.width : to.shape[3];
  check(!p.scales() || (height > 0 && width > 0), op, ": a window must not be empty, got ", height,
        "x", width);
  check(p.top >= 0 && p.left >= 0 && p.top + height <= frames.shape[2] &&
            p.left + width <= frames.shape[3],
        op, ": a window of ", height, "x", width, " at ", p.top, ",", p.left, " leaves ",
        frames.shape);
}

void check_order(const ColourChange& c) {
  unsigned seen = 0;
  for (int i : c.order) seen |= i >= 0 && i < 4 ? 1u << i : 0;
  check(seen == 15, op, ": expected an order of 0 to 3, got ", c.order[0], ",", c.order[1], ",",
        c.order[2], ",", c.order[3]);
}

}  // namespace

void check_clip_transform(const ClipTransformOptions& o, std::span<const ClipPlan> plans,
                          const View& frames, const View& clip) {
  check_dense_frames("frames", frames, Dtype::u8);
  check_frames("the clip", clip);
  check(is_float(clip.dtype), op, ": the clip must be f32, bf16 or f16, got ", clip.dtype);
  check_fits(frames, clip);
  check(int64_t(plans.size()) == frames.shape[0], op, ": expected a plan for each of ",
        frames.shape[0], " clips, got ", plans.size());
  for (const ClipPlan& p : plans) {
    check_window(p, frames, clip);
    check_order(p.colour);
  }
  for (double d : o.deviation) check(d > 0, op, ": a deviation must be above 0, got ", d);
}

void check_scale(const ClipPlan& window, const View& frames, const View& scaled) {
  check_dense_frames("frames", frames, Dtype::u8);
  check_dense_frames("scaled frames", scaled, Dtype::u8);
  check_fits(frames, scaled);
  check_window(window, frames, scaled);
}

void check_change_colours(const ColourChange& c, const View& frames) {
  check_dense_frames("frames", frames, Dtype::f32);
  check_order(c);
}

}  // namespace kinema::kernels
