#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>
#include "engine/nn/module.h"
#include "engine/ops/copy.h"

namespace kinema::models {

using engine::Shape, engine::Tensor;

/// What a network is built for. Its weights fit no other options.
struct ModelOptions {
  int64_t classes = 0;
  int64_t frames = 20;  ///< of a clip, and its size in pixels
  int64_t height = 64;
  int64_t width = 64;
  std::vector<int64_t> widths{12, 24};  ///< channels of each convolution
  int64_t hidden = 64;     ///< units of a hidden fully connected layer, where there is one
  bool batch_norm = true;  ///< behind each convolution; else that has a bias
  double dropout = 0;      ///< share of features dropped before the last layer
  /// Of Karpathy's networks (models/base/karpathy.h): convolutions padded with zeros so that stride
  /// 1 keeps the size, else not at all; and two streams, one sees the middle, one the whole at half
  /// the resolution.
  bool same_padding = true, multiresolution = false;
  bool operator==(const ModelOptions&) const = default;
};
void to_json(nlohmann::json& j, const ModelOptions& o);
/// Fields that are missing keep their defaults. Errors: an unknown field.
void from_json(const nlohmann::json& j, ModelOptions& o);

/// A network that names the class of clips.
class Classifier : public engine::nn::Module {
 public:
  /// clips [N,T,H,W,3] to scores [N,classes] before softmax, on device() and in precision(), to
  /// which the clips are brought on their way in. Errors: clips of another size than the network
  /// was built for, where it needs that.
  Tensor forward(const Tensor& clips) {
    return scores(engine::cast(engine::to_device(clips, device()), precision()));
  }

 protected:
  /// The same of clips in precision().
  virtual Tensor scores(const Tensor& clips) = 0;
};

/// One network of the zoo: the constant `NAME_model` in models/NAME.cpp.
struct Model {
  const char* name;
  const char* summary;
  ModelOptions defaults;
  /// Frames of a training clip; 0: as many as options.frames.
  int64_t training_frames;
  /// With weights that are not initialised. Errors: options that fit no such network.
  std::unique_ptr<Classifier> (*create)(const ModelOptions&);
  /// Video frames from one frame of a clip to the next, unless the user says else.
  int64_t frame_stride = 1;
};

/// All of them, by file name; cmake/tables.cmake writes the list.
const std::vector<const Model*>& models();

/// The model of this name. Errors: none, which names the nearest.
const Model& find_model(const std::string& name);

/// Throws Error unless clips are [N,T,H,W,3]; T, H and W as `options` say where those are not 0.
void check_clips(const char* model, const Tensor& clips, int64_t frames, int64_t height,
                 int64_t width);

/// Throws Error unless all options make sense by themselves.
void check_options(const char* model, const ModelOptions& options);

}  // namespace kinema::models
