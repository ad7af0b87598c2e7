#pragma once
#include <span>
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/clip_transform/clip_transform_options.h"

namespace kinema::kernels {

/// From decoded frames to what a network takes: each clip n, by plans[n], is cut out or scaled,
/// mirrored, its colours changed, and normalised, in one pass:
///   s[y,x,c] = frames[n,t, top + y, left + x, c], or the window scaled (below), a level in 0..255
///   v        = s[y, mirrored ? w - 1 - x : x, c] / 255, its colours changed (ColourChange)
///   clip[n,t,y,x,c] = (v - mean[c]) / deviation[c]
///   frames [N,T,H,W,3]  u8; pixels of a row dense, any strides of N, T and H
///   clip   [N,T,h,w,3]  f32, bf16 or f16; any strides
///   plans  [N]          in host memory
/// Scaling is bilinear, its triangle widened where it shrinks so that nothing aliases, rows before
/// columns, rounded once to a level (halves to even). The window alone is seen, as if it had been
/// cut out before. Source: Pillow's and torchvision's antialiased resize.
/// Each frame is read once and each clip written once, but that GPUs
///   - read words of 4 bytes: a third more than once where a row of the window begins within one;
///   - read the windows of clips with contrast once before, for the mean grey of each frame;
///   - where they scale, read four pixels by four words of each row that an output sums, most of
///     them its neighbours' too: from the L1. Of 16 rows of outputs the outer rows of inputs are
///     those of the next 16 too.
///
/// scale and change_colours are two of its parts alone, on frames that are kept; refused on
/// GPUs, which keep none.
///   scale: u8 `scaled` [N,T,h,w,3] = s, of one window in all frames; change_colours: f32 frames
///   [N,T,H,W,3] within [0,1], in place; pixels of a row dense in both.
/// Errors: shapes or types that do not fit; pixels apart where they must be dense; as many plans as
/// clips; a window that leaves the frame or is empty; an order that is no order of 0 to 3; a
/// deviation that is not above 0.
struct ClipTransform {
  void (*forward)(Stream, const ClipTransformOptions&, std::span<const ClipPlan> plans, View frames,
                  View clip);
  void (*scale)(Stream, const ClipPlan& window, View frames, View scaled);
  void (*change_colours)(Stream, const ColourChange&, View frames);
};
extern const ClipTransform clip_transform_reference, clip_transform_cpu;
KERNELS_OPTIONAL extern const ClipTransform clip_transform_cuda, clip_transform_emulated;
inline constexpr ClipTransform clip_transform_meta = {ignored, ignored, ignored};

inline const ClipTransform& clip_transform(Backend b) {
  return select<ClipTransform>("clip_transform", b,
                               {.reference = &clip_transform_reference,
                                .cpu = &clip_transform_cpu,
                                .cuda = &clip_transform_cuda,
                                .emulated = &clip_transform_emulated,
                                .meta = &clip_transform_meta});
}

/// Throw Error unless all fit together; read no memory.
void check_clip_transform(const ClipTransformOptions&, std::span<const ClipPlan> plans,
                          const View& frames, const View& clip);
void check_scale(const ClipPlan& window, const View& frames, const View& scaled);
void check_change_colours(const ColourChange&, const View& frames);

}  // namespace kinema::kernels
