#include "models/late_fusion_pool.h"
#include "engine/ops/reduce.h"

namespace kinema::models {

LateFusionPool::LateFusionPool(const ModelOptions& o)
    : features_(this, "features",
                {.size = {1, o.height, o.width}, .widths = o.widths, .batch_norm = o.batch_norm}),
      dropout_(this, "dropout", o.dropout),
      classify_(this, "classify", {.in = features_.channels, .out = o.classes}) {}

Tensor LateFusionPool::scores(const Tensor& clips) {
  check_clips("late_fusion_pool", clips, 0, 0, 0);
  const Tensor frames = features_.forward(fold_frames(clips));
  const Tensor pooled = global_average_pool(unfold_frames(frames, clips.shape(1)));
  return classify_.forward(dropout_.forward(pooled));
}

const Model late_fusion_pool_model = {"late_fusion_pool",
                                      "2D CNN on each frame, features averaged over time",
                                      {},
                                      0,
                                      [](const ModelOptions& o) {
                                        check_options("late_fusion_pool", o);
                                        return std::unique_ptr<Classifier>(new LateFusionPool(o));
                                      }};

}  // namespace kinema::models
