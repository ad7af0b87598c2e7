#include "engine/ops/clip_transform.h"
#include "engine/gpu.h"
#include "engine/served.h"
#include "kernels/clip_transform/clip_transform.h"

namespace kinema::engine {

namespace {
Served<kernels::ClipTransform> op(Device device = Device::cpu) {
  return {"clip_transform", kernels::clip_transform, device};
}
}  // namespace

void clip_transform(const ClipTransformOptions& options, std::span<const ClipPlan> plans,
                    const View& frames, const View& clip, Device device) {
  const Stream stream = device == Device::gpu ? current_stream() : Stream{};
  op(device).run(&kernels::ClipTransform::forward, stream, options, plans, frames, clip);
}

void scale_frames(const ClipPlan& window, const View& frames, const View& scaled) {
  op().run(&kernels::ClipTransform::scale, {}, window, frames, scaled);
}

void change_colours(const ColourChange& c, const View& frames) {
  op().run(&kernels::ClipTransform::change_colours, {}, c, frames);
}

}  // namespace kinema::engine
