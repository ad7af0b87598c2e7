#include <cstdio>
#include <memory>
#include "engine/train/summary.h"
#include "tools/base/command.h"
#include "tools/base/network.h"

namespace kinema::tools {

namespace {

struct Settings {
  std::string model, dtype = "f32";
  ModelSettings network;
  int64_t classes = 12;
  bool json = false;
};

int summarise(const Options& options, const Settings& s) {
  usage(!s.model.empty(), "summary: expected the name of a MODEL");
  const models::Model& model = model_or_usage(s.model);
  const models::ModelOptions o = s.network.options_for(model, s.classes, options);
  engine::DeviceScope meta(engine::Device::meta);
  check_fits(model, o);
  const std::unique_ptr<models::Classifier> network = model.create(o);
  network->set_precision(precision_from(s.dtype));
  const Shape clip{1, o.frames, o.height, o.width, 3};
  const engine::train::Summary summary = engine::train::summarise(
      *network, clip, [&](const Tensor& clips) { return network->forward(clips); });
  if (s.json) {
    nlohmann::json j = summary;
    j["model"] = model.name;
    j["input"] = std::vector<int64_t>(clip.begin(), clip.end());
    j["options"] = o;
    j["dtype"] = s.dtype;
    std::printf("%s\n", j.dump(2).c_str());
    return 0;
  }
  std::printf("%s: %s\nclip 3x%lldx%lldx%lld (C x T x H x W), outputs N x T x H x W x C\n\n%s",
              model.name, model.summary, static_cast<long long>(o.frames),
              static_cast<long long>(o.height), static_cast<long long>(o.width),
              engine::train::table_of(summary).c_str());
  return 0;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  options.add("MODEL", s->model, "network: " + model_names());
  s->network.declare(options);
  options.add_choice("--dtype", s->dtype, {"f32", "bf16", "f16"}, "type of activations");
  options.add("--classes", s->classes, "classes that it tells apart", 1, most_units);
  options.add_flag("--json", s->json, "print JSON");
  options.add_config();
  return [s, &options] { return summarise(options, *s); };
}

}  // namespace

extern const Command summary_command;
const Command summary_command = {
    "summary", "shapes, parameters, multiply-adds, receptive fields of a network", define};

}  // namespace kinema::tools
