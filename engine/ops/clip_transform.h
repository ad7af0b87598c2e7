#pragma once
#include <span>
#include "engine/tensor.h"
#include "kernels/clip_transform/clip_transform_options.h"

namespace kinema::engine {

using kernels::ClipPlan, kernels::ClipTransformOptions, kernels::ColourChange;

// From decoded frames to clips: decoders give views, not tensors. Nothing here is on the tape.
// Errors of all: kernels/clip_transform's.

/// clip (f32, bf16 or f16 [N,T,h,w,3]) = frames (u8 [N,T,H,W,3]) cut out or scaled, mirrored, their
/// colours changed, normalised; clip n as plans[n] says. `device` tells where both lie. On
/// the CPU a single frame is done on the calling thread alone.
void clip_transform(const ClipTransformOptions& options, std::span<const ClipPlan> plans,
                    const View& frames, const View& clip, Device device = Device::cpu);

/// On the CPU: scaled (u8 [N,T,h,w,3]) = the window of frames (u8 [N,T,H,W,3]), as clip_transform()
/// scales it; what else the plan says is left out.
void scale_frames(const ClipPlan& window, const View& frames, const View& scaled);

/// On the CPU: changes colours in place as clip_transform() does; `frames` is f32 [N,T,H,W,3]
/// within [0,1].
void change_colours(const ColourChange& c, const View& frames);

}  // namespace kinema::engine
