#include "engine/ops/clip_transform.h"
#include "engine/gpu.h"
#include "engine/policy.h"
#include "kernels/clip_transform/clip_transform.h"

namespace kinema::engine {

namespace {
const kernels::ClipTransform& op(Device device = Device::cpu) {
  return kernels::clip_transform(backend_for("clip_transform", device));
}
}  // namespace

void clip_transform(const ClipTransformOptions& options, std::span<const ClipPlan> plans,
                    const View& frames, const View& clip, Device device) {
  const Stream stream = device == Device::gpu ? current_stream() : Stream{};
  op(device).forward(stream, options, plans, frames, clip);
}

void scale_frames(const ClipPlan& window, const View& frames, const View& scaled) {
  op().scale({}, window, frames, scaled);
}

void change_colours(const ColourChange& c, const View& frames) {
  op().change_colours({}, c, frames);
}

}  // namespace kinema::engine
