#include "models/late_fusion_fc.h"
#include <algorithm>
#include "engine/ops/views.h"

namespace kinema::models {

namespace {

/// Windows that leave at most 4 positions along each axis.
Triple to_four(const Triple& size) {
  Triple kernel{1, 1, 1};
  for (size_t a = 1; a < 3; ++a) kernel[a] = std::max<int64_t>((size[a] + 3) / 4, 1);
  return kernel;
}

int64_t features_of_clip(int64_t frames, const Triple& size, int64_t channels) {
  const Triple kernel = to_four(size);
  return frames * (size[1] / kernel[1]) * (size[2] / kernel[2]) * channels;
}

}  // namespace

LateFusionFc::LateFusionFc(const ModelOptions& o)
    : options_(o),
      features_(this, "features",
                {.size = {1, o.height, o.width}, .widths = o.widths, .batch_norm = o.batch_norm}),
      pool_(this, "pool", {.kernel = to_four(features_.output)}),
      hidden_(this, "hidden",
              {.in = features_of_clip(o.frames, features_.output, features_.channels),
               .out = o.hidden,
               .relu = true}),
      dropout_(this, "dropout", o.dropout),
      classify_(this, "classify", {.in = o.hidden, .out = o.classes}) {}

Tensor LateFusionFc::scores(const Tensor& clips) {
  check_clips("late_fusion_fc", clips, options_.frames, options_.height, options_.width);
  const Tensor pooled = pool_.forward(features_.forward(fold_frames(clips)));
  const Tensor all = unfold_frames(pooled, options_.frames);
  const int64_t width = all.shape(1) * all.shape(2) * all.shape(3) * all.shape(4);
  const Tensor h = hidden_.forward(reshape(all, {all.shape(0), width}));
  return classify_.forward(dropout_.forward(h));
}

const Model late_fusion_fc_model = {
    "late_fusion_fc",
    "2D CNN on each frame, fully connected layers on all frames together",
    {},
    0,
    [](const ModelOptions& o) {
      check_options("late_fusion_fc", o);
      return std::unique_ptr<Classifier>(new LateFusionFc(o));
    }};

}  // namespace kinema::models
