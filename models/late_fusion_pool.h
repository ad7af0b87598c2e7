#pragma once
#include "engine/nn/dropout.h"
#include "engine/nn/linear.h"
#include "models/base/conv_stack.h"

namespace kinema::models {

/// A 2D network on each frame; its features are averaged over frames and pixels, so that the order
/// of the frames is lost.
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Late Fusion", with the mean in place of fully
/// connected layers.
class LateFusionPool : public Classifier {
 public:
  explicit LateFusionPool(const ModelOptions& options);
  Tensor scores(const Tensor& clips) override;

 private:
  ConvStack features_;
  engine::nn::Dropout dropout_;
  engine::nn::Linear classify_;
};

extern const Model late_fusion_pool_model;

}  // namespace kinema::models
