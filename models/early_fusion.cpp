#include "models/early_fusion.h"
#include "engine/ops/reduce.h"

namespace kinema::models {

EarlyFusion::EarlyFusion(const ModelOptions& o)
    : frames_(o.frames),
      features_(this, "features",
                {.size = {o.frames, o.height, o.width},
                 .widths = o.widths,
                 .first_kernel = {o.frames, 3, 3},
                 .batch_norm = o.batch_norm}),
      dropout_(this, "dropout", o.dropout),
      classify_(this, "classify", {.in = features_.channels, .out = o.classes}) {}

Tensor EarlyFusion::scores(const Tensor& clips) {
  check_clips("early_fusion", clips, frames_, 0, 0);
  const Tensor pooled = global_average_pool(features_.forward(clips));
  return classify_.forward(dropout_.forward(pooled));
}

const Model early_fusion_model = {"early_fusion",
                                  "2D CNN whose first convolution spans all frames",
                                  {},
                                  0,
                                  [](const ModelOptions& o) {
                                    check_options("early_fusion", o);
                                    return std::unique_ptr<Classifier>(new EarlyFusion(o));
                                  }};

}  // namespace kinema::models
