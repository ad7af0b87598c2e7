#pragma once
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>
#include "engine/data/transform.h"
#include "engine/train/evaluate.h"
#include "models/base/model.h"
#include "tools/base/options.h"

namespace kinema::tools {

using engine::Shape, engine::Tensor;

/// The model of this name; a UsageError where there is none.
const models::Model& model_or_usage(const std::string& name);
/// All names, separated by commas.
std::string model_names();

/// "64" or "72x96" as height and width in pixels.
engine::video::FrameSize parse_size(const std::string& text);

/// A UsageError unless there is such a network with these options. Takes no memory.
void check_fits(const models::Model& model, const models::ModelOptions& options);

/// Refuses, before the work for it is done, to write a file where there is a folder, or into a
/// folder that is not there. Nothing is asked of an empty path.
void check_output(const char* option, const std::filesystem::path& path);

/// Options that several subcommands share: what a network is built for.
struct ModelSettings {
  int64_t frames = 20, hidden = 64;
  std::string size = "64";
  std::vector<int64_t> widths{12, 24};
  bool batch_norm = true, multiresolution = false;
  double dropout = 0;
  std::string padding = "same";

  void declare(Options& options);
  /// The model's own defaults where the user said nothing.
  models::ModelOptions options_for(const models::Model& model, int64_t classes,
                                   const Options& given) const;
};

/// Options that several subcommands share: how clips are cut from videos.
struct ClipSettings {
  int64_t frame_stride = 1, short_side = 0, clips = 1, crops = 1;
  bool flip = false, resized_crop = false;
  std::vector<double> area, aspect, colour_jitter;  ///< empty: as the recipe has it
  std::vector<int64_t> scale_jitter;
  std::string short_clips = "loop";

  /// For training; the names of the evaluation's options begin with "--eval-" there.
  void declare(Options& options);
  /// The recipe that evaluation follows; training differs in its number of frames alone.
  engine::video::Recipe recipe_for(const models::Model& model, const models::ModelOptions& network,
                                   const Options& given) const;
};

/// Options that evaluation and prediction share: over which views of a video is averaged, and what.
struct ViewSettings {
  int64_t clips = 0, crops = 0;  ///< 0: as the network was evaluated in training
  std::string average = "softmax";
  std::string dtype = "as-trained";

  void declare(Options& options);
  /// Has the network compute in the precision that was asked for.
  void set_precision(engine::nn::Module& network) const;
  void apply(engine::video::Recipe& recipe) const;
  /// What is averaged; of networks with several labels a video always their sigmoids.
  engine::train::Average rule(bool multi_label) const;
};

/// What tensors hold: f32 for "f32" and "tf32", "bf16", "f16". Errors: another name.
engine::Dtype precision_from(const std::string& name);

/// --run and --weights.
void declare_source(Options& options, std::string& run, std::string& weights);

/// A network with what it takes to feed it and to read its answers.
struct Network {
  const models::Model* model = nullptr;
  models::ModelOptions options;
  engine::video::Recipe recipe;
  std::vector<std::string> classes;
  bool multi_label = false;  ///< trained on several labels a video
  std::unique_ptr<models::Classifier> net;
};

/// What a checkpoint says about its network.
nlohmann::json describe(const Network& network);

/// Where --run or --weights point to: the network with its weights, ready for inference. Of both
/// given, the run says what network it is. Errors: none given; no such file; a checkpoint that
/// cannot be read; weights that do not fit.
Network load_network(const std::string& run, const std::string& weights);

/// "apply_eye_makeup, baseball_pitch, ...": at most six names.
std::string listed(const std::vector<std::string>& names);

/// Reads `threads` (0: all cores) as the number of compute threads.
void set_threads(int64_t threads);

}  // namespace kinema::tools
