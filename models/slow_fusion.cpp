#include "models/slow_fusion.h"
#include "engine/ops/reduce.h"

namespace kinema::models {

SlowFusion::SlowFusion(const ModelOptions& o)
    : features_(this, "features",
                {.size = {o.frames, o.height, o.width},
                 .widths = o.widths,
                 .first_kernel = {3, 3, 3},
                 .first_padding = {1, 1, 1},
                 .kernel = {3, 3, 3},
                 .pool = {4, 4, 4},
                 .batch_norm = o.batch_norm}),
      dropout_(this, "dropout", o.dropout),
      classify_(this, "classify", {.in = features_.channels, .out = o.classes}) {}

Tensor SlowFusion::scores(const Tensor& clips) {
  check_clips("slow_fusion", clips, 0, 0, 0);
  const Tensor pooled = global_average_pool(features_.forward(clips));
  return classify_.forward(dropout_.forward(pooled));
}

const Model slow_fusion_model = {"slow_fusion", "3D CNN", {}, 0, [](const ModelOptions& o) {
                                   check_options("slow_fusion", o);
                                   return std::unique_ptr<Classifier>(new SlowFusion(o));
                                 }};

}  // namespace kinema::models
