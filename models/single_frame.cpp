#include "models/single_frame.h"
#include "engine/ops/reduce.h"
#include "engine/ops/views.h"

namespace kinema::models {

SingleFrame::SingleFrame(const ModelOptions& o)
    : features_(this, "features",
                {.size = {1, o.height, o.width}, .widths = o.widths, .batch_norm = o.batch_norm}),
      dropout_(this, "dropout", o.dropout),
      classify_(this, "classify", {.in = features_.channels, .out = o.classes}) {}

Tensor SingleFrame::scores(const Tensor& clips) {
  check_clips("single_frame", clips, 0, 0, 0);
  const Tensor frames = features_.forward(fold_frames(clips));
  const Tensor scores = classify_.forward(dropout_.forward(global_average_pool(frames)));
  // The mean over the frames of a clip is pooling, too.
  return global_average_pool(
      reshape(scores, {clips.shape(0), clips.shape(1), 1, 1, scores.shape(1)}));
}

const Model single_frame_model = {
    "single_frame", "2D CNN on single frames, scores averaged", {}, 1, [](const ModelOptions& o) {
      check_options("single_frame", o);
      return std::unique_ptr<Classifier>(new SingleFrame(o));
    }};

}  // namespace kinema::models
