#pragma once
#include "engine/nn/dropout.h"
#include "engine/nn/linear.h"
#include "models/base/conv_stack.h"

namespace kinema::models {

/// A 2D network that looks at one frame at a time; a clip's scores are the mean of its frames'.
/// Source: Karpathy et al., Large-scale Video Classification with Convolutional Neural Networks,
/// CVPR 2014, section 3.1 "Single-frame".
class SingleFrame : public Classifier {
 public:
  explicit SingleFrame(const ModelOptions& options);
  Tensor scores(const Tensor& clips) override;

 private:
  ConvStack features_;
  engine::nn::Dropout dropout_;
  engine::nn::Linear classify_;
};

extern const Model single_frame_model;

}  // namespace kinema::models
