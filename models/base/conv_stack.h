#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include "engine/nn/batch_norm.h"
#include "engine/nn/conv3d.h"
#include "engine/nn/pool3d.h"
#include "models/base/model.h"

namespace kinema::models {

using Triple = std::array<int64_t, 3>;  ///< over t, h, w

/// Convolution at stride 1, batch norm and ReLU; without batch norm the convolution has a bias.
class ConvBlock : public engine::nn::Module {
 public:
  struct Config {
    int64_t in = 0, out = 0;
    Triple kernel{1, 1, 1};
    Triple padding{0, 0, 0};
    bool batch_norm = true;
  };
  ConvBlock(Module* parent, const std::string& name, const Config& config);
  Tensor forward(const Tensor& x);

  engine::nn::Conv3d conv;
  std::optional<engine::nn::BatchNorm> norm;
};

/// ConvBlocks with maximum pooling between them: the part of each fusion network that sees pixels.
/// With checkpoint_activations() the tape keeps what goes into each block, and no more.
/// The first pool takes `pool` (less where an axis is shorter), the further ones 2 along the axes
/// that it pools, as long as these hold 2.
class ConvStack : public engine::nn::Module {
 public:
  struct Config {
    Triple size{1, 64, 64};  ///< of the input
    std::vector<int64_t> widths;
    Triple first_kernel{1, 3, 3}, first_padding{0, 1, 1};
    Triple kernel{1, 3, 3};  ///< of the others, padded to keep the size
    Triple pool{1, 4, 4};
    bool batch_norm = true;
  };
  ConvStack(Module* parent, const std::string& name, const Config& config);
  /// x [N,T,H,W,3] -> [N,T',H',W',channels]
  Tensor forward(const Tensor& x);

  Triple output{};  ///< size of the output for an input of `size`
  int64_t channels = 0;

 private:
  Tensor segment(size_t i, const Tensor& x) const;

  std::vector<std::unique_ptr<ConvBlock>> blocks_;
  std::vector<std::unique_ptr<engine::nn::MaxPool3d>> pools_;  ///< pools_[i] behind blocks_[i]
};

/// Each frame of clips [N,T,H,W,C] by itself: [N*T,1,H,W,C]. Copies nothing.
Tensor fold_frames(const Tensor& clips);
/// The opposite, for clips of `frames` frames.
Tensor unfold_frames(const Tensor& x, int64_t frames);

}  // namespace kinema::models
