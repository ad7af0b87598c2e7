#include "tools/base/network.h"
#include <fmt/format.h>
#include <omp.h>
#include <algorithm>
#include <charconv>
#include "engine/train/run_folder.h"
#include "tools/base/versions.h"

namespace kinema::tools {

namespace video = engine::video;
using engine::check, video::FrameSize;
using nlohmann::json;

const models::Model& model_or_usage(const std::string& name) {
  return *as_usage([&] { return &models::find_model(name); });
}

std::string model_names() {
  std::string all;
  for (const models::Model* m : models::models())
    all += (all.empty() ? "" : ", ") + std::string(m->name);
  return all;
}

FrameSize parse_size(const std::string& text) {
  FrameSize size;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, size.height);
  size.width = size.height;
  if (error == std::errc() && stop != end && *stop == 'x') {
    const auto width = std::from_chars(stop + 1, end, size.width);
    stop = width.ptr;
    error = width.ec;
  }
  usage(error == std::errc() && stop == end && size.height > 0 && size.width > 0,
        "--size takes pixels as in 64, or height x width as in 64x96, got '", text, "'");
  usage(std::max(size.height, size.width) <= most_side, "--size must be at most ", most_side,
        " pixels a side, got '", text, "'");
  return size;
}

void check_fits(const models::Model& model, const models::ModelOptions& options) {
  const engine::DeviceScope meta(engine::Device::meta);
  as_usage([&] { model.create(options); });
}

void check_output(const char* option, const std::filesystem::path& path) {
  std::error_code failed;
  const std::filesystem::path folder = path.parent_path();
  check(folder.empty() || std::filesystem::is_directory(folder, failed), option,
        ": no such folder: ", folder);
  check(!std::filesystem::is_directory(path, failed), option,
        ": expected a file, got a folder: ", path);
}

void ModelSettings::declare(Options& options) {
  options.add("--frames", frames, "frames of a clip", 1, most_units);
  options.add("--size", size, "height and width of a clip in pixels: 64, or 64x96");
  options.add("--widths", widths, "channels of each convolution");
  options.add("--hidden", hidden, "units of a hidden layer (late_fusion_fc, karpathy_...)", 1,
              most_units);
  options.add_flag("--batch-norm", batch_norm, "batch norm behind each convolution");
  options.add("--dropout", dropout, "share of features dropped before the last layer");
  options.add_choice("--padding", padding, {"same", "valid"}, "of convolutions (karpathy_...)");
  options.add_flag("--multiresolution", multiresolution,
                   "a context and a fovea stream (karpathy_...; --size 178 in the paper)");
}

models::ModelOptions ModelSettings::options_for(const models::Model& model, int64_t classes,
                                                const Options& given) const {
  models::ModelOptions o = model.defaults;
  o.classes = classes;
  if (given.given("--frames")) o.frames = frames;
  if (given.given("--size")) {
    const FrameSize s = parse_size(size);
    o.height = s.height;
    o.width = s.width;
  }
  if (given.given("--widths")) o.widths = widths;
  if (given.given("--hidden")) o.hidden = hidden;
  if (given.given("--dropout")) o.dropout = dropout;
  if (given.given("--batch-norm")) o.batch_norm = batch_norm;
  o.same_padding = padding == "same";
  o.multiresolution = multiresolution;
  usage(o.dropout < 1, "--dropout must be below 1, got ", o.dropout);
  return o;
}

void ClipSettings::declare(Options& options) {
  options.add("--frame-stride", frame_stride, "video frames from one frame of a clip to the next",
              1, most_units);
  options.add("--short-side", short_side,
              "resize the shorter side of videos to this before the crop, pixels; 0: keep their "
              "size (default: that of the crop)");
  options.add_flag("--flip", flip, "mirror half of the clips in training");
  options.add_flag("--resized-crop", resized_crop,
                   "crop a random part of the frame, scaled to the size of the clip, in training");
  options.add("--crop-area", area,
              "least and largest share of the frame that --resized-crop takes (default 0.08,1)");
  options.add("--crop-aspect", aspect,
              "least and largest width / height that --resized-crop takes (default 3/4 to 4/3)");
  options.add(
      "--scale-jitter", scale_jitter,
      "least and largest short side, pixels, to which training scales videos, as in 128,160");
  options.add("--colour-jitter", colour_jitter,
              "how far training changes brightness, contrast, saturation and hue, as in "
              "0.4,0.4,0.4,0.1");
  options.add_choice("--short-clips", short_clips, {"loop", "refuse"},
                     "what a video shorter than a clip does");
  options.add("--eval-clips", clips, "clips of a video in evaluation", 1, most_views);
  options.add("--eval-crops", crops, "crops of a clip in evaluation", 1, most_views);
}

namespace {
/// Exactly `count` numbers of an option.
template <size_t count, class T>
std::array<T, count> numbers(const char* option, const std::vector<T>& given) {
  usage(given.size() == count, option, " takes ", count, " numbers, got ", given.size());
  std::array<T, count> all;
  std::copy(given.begin(), given.end(), all.begin());
  return all;
}
}  // namespace

video::Recipe ClipSettings::recipe_for(const models::Model& model,
                                       const models::ModelOptions& network,
                                       const Options& given) const {
  video::Recipe r;
  r.frames = network.frames;
  r.frame_stride = given.given("--frame-stride") ? frame_stride : model.frame_stride;
  r.height = network.height;
  r.width = network.width;
  r.short_side = given.given("--short-side") ? short_side : std::min(r.height, r.width);
  r.flip = flip;
  r.resized_crop = resized_crop;
  if (!area.empty()) r.area = numbers<2>("--crop-area", area);
  if (!aspect.empty()) r.aspect = numbers<2>("--crop-aspect", aspect);
  if (!scale_jitter.empty()) r.scale_jitter = numbers<2>("--scale-jitter", scale_jitter);
  if (!colour_jitter.empty()) r.colour_jitter = numbers<4>("--colour-jitter", colour_jitter);
  r.loop = short_clips == "loop";
  r.clips = clips;
  r.crops = crops;
  as_usage([&] { video::check_recipe(r); });
  return r;
}

void ViewSettings::declare(Options& options) {
  options.add("--clips", clips, "clips of the video; 0: as in training", 0, most_views);
  options.add("--crops", crops, "crops of a clip; 0: as in training", 0, most_views);
  options.add_choice("--average", average, {"softmax", "logits"},
                     "what is averaged over the views");
  options.add_choice("--dtype", dtype, {"as-trained", "f32", "tf32", "bf16", "f16"},
                     "type of activations and of the weights beside them");
}

void ViewSettings::set_precision(engine::nn::Module& network) const {
  if (dtype != "as-trained") network.set_precision(precision_from(dtype));
}

void ViewSettings::apply(video::Recipe& recipe) const {
  if (clips) recipe.clips = clips;
  if (crops) recipe.crops = crops;
}

engine::train::Average ViewSettings::rule(bool multi_label) const {
  if (multi_label) return engine::train::Average::sigmoid;
  return average == "logits" ? engine::train::Average::logits : engine::train::Average::softmax;
}

void declare_source(Options& options, std::string& run, std::string& weights) {
  options.add("--run", run, "run folder of the trained network (its best weights, else its last)");
  options.add("--weights", weights, "checkpoint file of the network");
}

engine::Dtype precision_from(const std::string& name) {
  if (name == "tf32") return engine::Dtype::f32;
  for (const engine::Dtype d : {engine::Dtype::f32, engine::Dtype::bf16, engine::Dtype::f16})
    if (name == name_of(d)) return d;
  engine::fail("dtype: expected f32, tf32, bf16 or f16, got '", name, "'");
}

json describe(const Network& network) {
  return {{"model", network.model->name},
          {"precision", name_of(network.net->precision())},
          {"options", network.options},
          {"classes", network.classes},
          {"multi_label", network.multi_label},
          {"recipe", network.recipe},
          {"versions", library_versions()},
          {"instructions", fmt::format("{} (oneDNN: {})", built_for(), dnnl_instructions())},
          {"threads", omp_get_max_threads()}};
}

Network load_network(const std::string& run, const std::string& weights) {
  usage(!run.empty() || !weights.empty(),
        "name the trained network with --run FOLDER or --weights ", "FILE");
  using namespace engine::train;
  std::filesystem::path path = checkpoint_of(run.empty() ? weights : run);
  Checkpoint checkpoint = read_checkpoint(path);
  Network n;
  engine::Dtype precision{};
  try {
    precision = precision_from(checkpoint.run.value("precision", "f32"));
    n.model = &models::find_model(checkpoint.run.at("model").get<std::string>());
    checkpoint.run.at("options").get_to(n.options);
    checkpoint.run.at("recipe").get_to(n.recipe);
    checkpoint.run.at("classes").get_to(n.classes);
    n.multi_label = checkpoint.run.value("multi_label", false);
    n.net = n.model->create(n.options);
  } catch (const json::exception&) {
    engine::fail("checkpoint: ", path, " has a damaged description");
  } catch (const engine::Error& e) {
    engine::fail("checkpoint: ", path, " describes what this program cannot make: ", e.what());
  }
  check(n.options.classes == int64_t(n.classes.size()), "checkpoint: ", path, " names ",
        n.classes.size(), " classes, but its network has ", n.options.classes);
  if (!run.empty() && !weights.empty()) {
    path = checkpoint_of(weights);
    checkpoint.tensors = read_weights(path);
  }
  engine::io::load_state(*n.net, checkpoint.tensors, "\"" + path.string() + "\"", state_prefix);
  n.net->set_precision(precision);
  n.net->train(false);
  return n;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 6; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > 6 ? text + ", ..." : text;
}

void set_threads(int64_t threads) {
  if (threads > 0) omp_set_num_threads(int(threads));
}

}  // namespace kinema::tools
