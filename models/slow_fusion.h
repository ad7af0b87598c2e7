#pragma once
#include "engine/nn/dropout.h"
#include "engine/nn/linear.h"
#include "models/base/conv_stack.h"

namespace kinema::models {

/// A 3D network: 3 x 3 x 3 convolutions and pooling merge time and space step by step.
/// Source: Karpathy et al., CVPR 2014, section 3.1 "Slow Fusion"; Tran et al., C3D,
/// arXiv:1412.0767.
class SlowFusion : public Classifier {
 public:
  explicit SlowFusion(const ModelOptions& options);
  Tensor scores(const Tensor& clips) override;

 private:
  ConvStack features_;
  engine::nn::Dropout dropout_;
  engine::nn::Linear classify_;
};

extern const Model slow_fusion_model;

}  // namespace kinema::models
