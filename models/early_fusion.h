#pragma once
#include "engine/nn/dropout.h"
#include "engine/nn/linear.h"
#include "models/base/conv_stack.h"

namespace kinema::models {

/// The first convolution spans all frames of a clip, kernel T x 3 x 3, and leaves one: time is gone
/// after one layer. A 2D network follows.
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Early Fusion".
class EarlyFusion : public Classifier {
 public:
  explicit EarlyFusion(const ModelOptions& options);
  Tensor scores(const Tensor& clips) override;

 private:
  int64_t frames_;
  ConvStack features_;
  engine::nn::Dropout dropout_;
  engine::nn::Linear classify_;
};

extern const Model early_fusion_model;

}  // namespace kinema::models
