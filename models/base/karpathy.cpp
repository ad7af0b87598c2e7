#include "models/base/karpathy.h"
#include <algorithm>
#include "engine/ops/reduce.h"
#include "engine/ops/views.h"
#include "engine/recompute.h"

namespace kinema::models {

using engine::check, engine::concat, engine::reshape, engine::slice;
using Frames = KarpathyFusion::Frames;

namespace {

constexpr size_t layers = 5;
constexpr int64_t kernels[layers] = {11, 5, 3, 3, 3};
constexpr int64_t strides[layers] = {3, 1, 1, 1, 1};

bool normalised(size_t layer) { return layer < 2; }
bool pooled(size_t layer, bool last_pool) { return layer < 2 || (layer == 4 && last_pool); }

/// TensorFlow's SAME: ceil(size / stride) outputs, the odd zero at the back.
void pad_same(engine::Conv3dOptions& geometry, const Triple& size, int64_t kernel) {
  for (size_t a = 1; a < 3; ++a) {
    const int64_t stride = geometry.stride[a], outputs = (size[a] + stride - 1) / stride;
    const int64_t zeros = std::max<int64_t>((outputs - 1) * stride + kernel - size[a], 0);
    geometry.pad_front[a] = zeros / 2;
    geometry.pad_back[a] = zeros - zeros / 2;
  }
}

}  // namespace

KarpathyTower::KarpathyTower(Module* parent, const std::string& name, const char* model,
                             const Config& c)
    : Module(parent, name), output(c.size) {
  check(c.widths.size() == layers, model, ": expected five widths, got ", c.widths.size());
  for (size_t i = 0; i < layers; ++i) {
    const std::string number = std::to_string(i + 1);
    const Triple kernel{i < 3 ? c.spans[i] : 1, kernels[i], kernels[i]};
    const Triple stride{i < 3 ? c.steps[i] : 1, strides[i], strides[i]};
    convs_.push_back(std::make_unique<engine::nn::Conv3d>(
        this, "conv" + number,
        engine::nn::Conv3d::Config{.in = i ? c.widths[i - 1] : 3,
                                   .out = c.widths[i],
                                   .kernel = kernel,
                                   .stride = stride}));
    engine::Conv3dOptions& geometry = convs_.back()->geometry;
    if (c.same_padding) pad_same(geometry, output, kernels[i]);
    for (size_t a = 0; a < 3; ++a) {
      const int64_t room = output[a] + geometry.pad_front[a] + geometry.pad_back[a] - kernel[a];
      output[a] = room < 0 ? 0 : room / stride[a] + 1;
    }
    if (normalised(i))
      norms_.push_back(std::make_unique<engine::nn::LocalResponseNorm>(this, "norm" + number));
    if (pooled(i, c.last_pool)) {
      pools_.push_back(std::make_unique<engine::nn::MaxPool3d>(
          this, "pool" + number, engine::Pool3dOptions{.kernel = {1, 2, 2}}));
      for (size_t a = 1; a < 3; ++a) output[a] /= 2;
    }
    check(output[0] > 0 && output[1] > 0 && output[2] > 0, model, ": ", c.size[0], " frames of ",
          c.size[1], "x", c.size[2], " are too few or too small: nothing is left behind conv",
          number);
  }
}

/// A convolution with what stands behind it.
Tensor KarpathyTower::segment(size_t i, const Tensor& x) const {
  Tensor y = convs_[i]->forward(x, {.relu = true});
  if (normalised(i)) y = norms_[i]->forward(y);
  if (pooled(i, pools_.size() == 3)) y = pools_[std::min<size_t>(i, 2)]->forward(y);
  return y;
}

Tensor KarpathyTower::forward(const Tensor& x) const {
  Tensor y = x;
  for (size_t i = 0; i < layers; ++i) {
    const auto run = [this, i](const Tensor& in) { return segment(i, in); };
    y = checkpoints_activations() ? recomputed(run, y) : run(y);
  }
  return y;
}

Karpathy::Karpathy(const ModelOptions& o, const KarpathyFusion& fusion)
    : options_(o),
      fusion_(fusion),
      tower_(this, o.multiresolution ? "context" : "tower", fusion.model, tower_config()),
      hidden1_(this, "hidden1", {.in = joined_features(), .out = o.hidden, .relu = true}),
      dropout1_(this, "dropout1", o.dropout),
      hidden2_(this, "hidden2", {.in = o.hidden, .out = o.hidden, .relu = true}),
      dropout2_(this, "dropout2", o.dropout),
      classify_(this, "classify", {.in = o.hidden, .out = o.classes}) {
  check(!o.batch_norm, fusion.model,
        ": has local response norms in place of batch norm, which must be off");
  check(joined() == 1 || o.frames >= 2, fusion.model, ": clips need two frames, got ", o.frames);
  if (o.multiresolution) fovea_.emplace(this, "fovea", fusion.model, tower_config());
}

KarpathyTower::Config Karpathy::tower_config() const {
  const ModelOptions& o = options_;
  const int64_t part = o.multiresolution ? 2 : 1;
  return {.size = {fusion_.frames == Frames::clip ? o.frames : 1, o.height / part, o.width / part},
          .widths = o.widths,
          .spans = fusion_.spans,
          .steps = fusion_.steps,
          .same_padding = o.same_padding,
          .last_pool = !o.multiresolution};
}

int64_t Karpathy::joined_features() const {
  const Triple& size = tower_.output;
  return joined() * (options_.multiresolution ? 2 : 1) * size[0] * size[1] * size[2] *
         options_.widths.back();
}

/// [rows, features]: what one stream hands to the fully connected layers.
Tensor Karpathy::features(const KarpathyTower& tower, const Tensor& x, int64_t rows) const {
  const Tensor y = tower.forward(x);
  return reshape(y, {rows, y.size() / std::max<int64_t>(rows, 1)});
}

Tensor Karpathy::scores(const Tensor& clips) {
  const bool averaged = fusion_.frames == Frames::all_averaged;
  check_clips(fusion_.model, clips, averaged ? 0 : options_.frames, options_.height,
              options_.width);
  Tensor x = clips;
  if (joined() == 2) x = slice(x, 1, 0, 2, options_.frames - 1);
  if (fusion_.frames != Frames::clip) x = fold_frames(x);
  const int64_t rows = x.shape(0) / joined();
  Tensor all;
  if (options_.multiresolution) {
    const int64_t high = options_.height / 2, wide = options_.width / 2;
    const Tensor context = average_pool3d(x, {.kernel = {1, 2, 2}});
    const Tensor middle = slice(slice(x, 2, high / 2, high), 3, wide / 2, wide);
    all = concat({features(tower_, context, rows), features(*fovea_, middle, rows)}, 1);
  } else {
    all = features(tower_, x, rows);
  }
  const Tensor h = dropout1_.forward(hidden1_.forward(all));
  const Tensor scores = classify_.forward(dropout2_.forward(hidden2_.forward(h)));
  if (!averaged) return scores;
  // The mean over the frames of a clip is pooling, too.
  return global_average_pool(
      reshape(scores, {clips.shape(0), clips.shape(1), 1, 1, scores.shape(1)}));
}

ModelOptions karpathy_defaults(int64_t frames) {
  return {.frames = frames,
          .height = 170,
          .width = 170,
          .widths = {96, 256, 384, 384, 256},
          .hidden = 4096,
          .batch_norm = false,
          .dropout = 0.5};
}

}  // namespace kinema::models
