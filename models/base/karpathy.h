#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include "engine/nn/conv3d.h"
#include "engine/nn/dropout.h"
#include "engine/nn/linear.h"
#include "engine/nn/local_response_norm.h"
#include "engine/nn/pool3d.h"
#include "models/base/conv_stack.h"

// The networks of Karpathy et al., Large-scale Video Classification with Convolutional Neural
// Networks, CVPR 2014, at their own widths. All share
//   C(96,11,3)-N-P-C(256,5,1)-N-P-C(384,3,1)-C(384,3,1)-C(256,3,1)-P-FC(4096)-FC(4096)-FC(classes)
// C(d,f,s): d filters of f x f at stride s and a ReLU; N: local response norm; P: 2 x 2 maximum;
// dropout behind the hidden layers. They differ in how many frames the first three convolutions
// span. Clips are 170x170 crops of 200x200 (--short-side 200) in the paper, which does not state
// the padding: with `same_padding` (TensorFlow's SAME; pools round down) the last pool leaves the
// 7x7x256 that section 3.2 names.
namespace kinema::models {

/// The convolutions over one stream of pixels.
class KarpathyTower : public engine::nn::Module {
 public:
  struct Config {
    Triple size{1, 170, 170};                               ///< of the input
    std::vector<int64_t> widths;                            ///< five
    std::array<int64_t, 3> spans{1, 1, 1}, steps{1, 1, 1};  ///< of conv1 to conv3 in time
    bool same_padding = true;
    bool last_pool = true;
  };
  /// Errors: widths that are not five; an input too small, `model` named.
  KarpathyTower(Module* parent, const std::string& name, const char* model, const Config& config);
  /// x [N,T,H,W,3] -> [N,T',H',W',widths[4]]
  /// With checkpoint_activations() the tape keeps what goes into each convolution, and no more.
  Tensor forward(const Tensor& x) const;

  Triple output{};  ///< size of the output

 private:
  Tensor segment(size_t i, const Tensor& x) const;

  std::vector<std::unique_ptr<engine::nn::Conv3d>> convs_;
  std::vector<std::unique_ptr<engine::nn::LocalResponseNorm>> norms_;  ///< behind convs_[0], [1]
  std::vector<std::unique_ptr<engine::nn::MaxPool3d>> pools_;  ///< behind convs_[0], [1], [4]
};

/// How a network of this family fuses the frames of a clip.
struct KarpathyFusion {
  const char* model;                                      ///< its name
  std::array<int64_t, 3> spans{1, 1, 1}, steps{1, 1, 1};  ///< of conv1 to conv3 in time
  /// Frames that pass through the tower one by one: all, their scores averaged; or the first and
  /// the last, joined in the first fully connected layer. Else the tower sees the clip.
  enum class Frames { all_averaged, two_joined, clip } frames = Frames::clip;
};

/// One or, with `multiresolution`, two towers with weights of their own and the fully connected
/// layers. Section 3.2: the context stream sees the clip at half the resolution, the fovea stream
/// its middle, half as high and wide (89x89 each of --size 178); neither has the last pool.
class Karpathy : public Classifier {
 public:
  /// Errors: options that fit no such network.
  Karpathy(const ModelOptions& options, const KarpathyFusion& fusion);
  Tensor scores(const Tensor& clips) override;

 private:
  Tensor features(const KarpathyTower& tower, const Tensor& x, int64_t clips) const;
  /// Frames that meet in the first fully connected layer.
  int64_t joined() const { return fusion_.frames == KarpathyFusion::Frames::two_joined ? 2 : 1; }
  KarpathyTower::Config tower_config() const;
  int64_t joined_features() const;

  const ModelOptions options_;
  const KarpathyFusion fusion_;
  KarpathyTower tower_;  ///< with multiresolution: the context stream
  std::optional<KarpathyTower> fovea_;
  engine::nn::Linear hidden1_;
  engine::nn::Dropout dropout1_;
  engine::nn::Linear hidden2_;
  engine::nn::Dropout dropout2_;
  engine::nn::Linear classify_;
};

/// The paper's sizes for clips of `frames` frames.
ModelOptions karpathy_defaults(int64_t frames);

}  // namespace kinema::models
