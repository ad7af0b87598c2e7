#pragma once
#include "engine/nn/dropout.h"
#include "engine/nn/linear.h"
#include "models/base/conv_stack.h"

namespace kinema::models {

/// A 2D network on each frame; the features of all frames lie side by side in front of a hidden
/// fully connected layer. They are pooled to at most 4 x 4 pixels a frame first: unpooled, the
/// hidden layer of the default network would have 7.9 million weights in place of half a million.
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Late Fusion".
class LateFusionFc : public Classifier {
 public:
  explicit LateFusionFc(const ModelOptions& options);
  Tensor scores(const Tensor& clips) override;

 private:
  ModelOptions options_;
  ConvStack features_;
  engine::nn::MaxPool3d pool_;
  engine::nn::Linear hidden_;
  engine::nn::Dropout dropout_;
  engine::nn::Linear classify_;
};

extern const Model late_fusion_fc_model;

}  // namespace kinema::models
