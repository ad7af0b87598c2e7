#include <fmt/format.h>
#include <cmath>
#include <cstdio>
#include <memory>
#include "engine/autograd.h"
#include "engine/data/loader.h"
#include "engine/train/evaluate.h"
#include "tools/base/command.h"
#include "tools/base/network.h"

namespace kinema::tools {

namespace {

namespace train = engine::train;

struct Settings {
  std::string file, run, weights;
  ViewSettings views;
  int64_t threads = 0;
  bool json = false;
};

int predict(const Settings& s) {
  usage(!s.file.empty(), "predict: expected a video FILE");
  set_threads(s.threads);
  Network n = load_network(s.run, s.weights);
  s.views.apply(n.recipe);
  engine::NoGrad off_tape;
  const Tensor views = engine::video::load_views(s.file, n.recipe);
  const std::vector<double> p =
      train::average_views(train::rows_of(n.net->forward(views)), s.views.rule());
  engine::check(std::isfinite(p[0]), "predict: the network's scores for \"", s.file,
                "\" are no numbers; its weights are damaged");
  nlohmann::json top = nlohmann::json::array();
  for (int64_t c : train::highest(p, 5))
    top.push_back({{"class", n.classes[size_t(c)]}, {"probability", p[size_t(c)]}});
  if (s.json) {
    const nlohmann::json result = {
        {"file", s.file},          {"model", n.model->name},  {"average", s.views.average},
        {"clips", n.recipe.clips}, {"crops", n.recipe.crops}, {"top", top}};
    std::printf("%s\n", result.dump(2).c_str());
    return 0;
  }
  for (const nlohmann::json& t : top)
    std::printf("%6.2f%%  %s\n", 100 * t["probability"].get<double>(),
                t["class"].get<std::string>().c_str());
  return 0;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  options.add("FILE", s->file, "video");
  declare_source(options, s->run, s->weights);
  s->views.declare(options);
  options.add("--threads", s->threads, "threads that compute; 0: all cores");
  options.add_flag("--json", s->json, "print JSON");
  options.add_config();
  return [s] { return predict(*s); };
}

}  // namespace

extern const Command predict_command;
const Command predict_command = {"predict", "the five likeliest classes of a video file", define};

}  // namespace kinema::tools
