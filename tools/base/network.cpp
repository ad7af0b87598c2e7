#include "tools/base/network.h"
#include <omp.h>
#include <charconv>
#include "engine/train/run_folder.h"
#include "tools/base/versions.h"

namespace kinema::tools {

using engine::check, engine::video::FrameSize;
using nlohmann::json;

const models::Model& model_or_usage(const std::string& name) {
  try {
    return models::find_model(name);
  } catch (const engine::Error& e) {
    throw UsageError(e.what());
  }
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
  return size;
}

void ModelSettings::declare(Options& options) {
  options.add("--frames", frames, "frames of a clip", 1);
  options.add("--size", size, "height and width of a clip in pixels: 64, or 64x96");
  options.add("--widths", widths, "channels of each convolution");
  options.add("--hidden", hidden, "units of the hidden layer (late_fusion_fc)", 1);
  options.add_flag("--batch-norm", batch_norm, "batch norm behind each convolution (default)");
  options.add("--dropout", dropout, "share of features dropped before the last layer");
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
  o.batch_norm = batch_norm;
  usage(o.dropout < 1, "--dropout must be below 1, got ", o.dropout);
  return o;
}

json describe(const Network& network) {
  return {{"model", network.model->name},   {"options", network.options},
          {"classes", network.classes},     {"recipe", network.recipe},
          {"versions", library_versions()}, {"threads", omp_get_max_threads()}};
}

Network load_network(const std::string& run, const std::string& weights) {
  usage(run.empty() != weights.empty(), "name the network with either --run FOLDER or --weights ",
        "FILE");
  const std::filesystem::path path = engine::train::checkpoint_of(run.empty() ? weights : run);
  const engine::train::Checkpoint checkpoint = engine::train::read_checkpoint(path);
  Network n;
  try {
    n.model = &models::find_model(checkpoint.run.at("model").get<std::string>());
    checkpoint.run.at("options").get_to(n.options);
    checkpoint.run.at("recipe").get_to(n.recipe);
    checkpoint.run.at("classes").get_to(n.classes);
  } catch (const json::exception&) {
    engine::fail("checkpoint: ", path, " has a damaged description");
  }
  n.net = n.model->create(n.options);
  engine::io::load_state(*n.net, checkpoint.tensors, "\"" + path.string() + "\"",
                         engine::train::optimiser_prefix);
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
