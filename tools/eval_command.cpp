#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <numeric>
#include "engine/train/evaluate.h"
#include "engine/train/progress.h"
#include "engine/train/scores_csv.h"
#include "tools/base/command.h"
#include "tools/base/data_settings.h"
#include "tools/base/device_settings.h"
#include "tools/base/network.h"

namespace kinema::tools {

namespace {

namespace train = engine::train;
namespace video = engine::video;

struct Settings {
  std::string run, weights, csv;
  DataSettings data{"eval"};
  ViewSettings views;
  DeviceSettings device;
  int64_t batch = 16, threads = 0, workers = 2, memory_cap_mb = 512;
  bool json = false;
};

nlohmann::json report(const Network& n, const train::Evaluation& e, const Settings& s,
                      const std::string& device) {
  nlohmann::json all = {
      {"model", n.model->name},   {"videos", e.metrics.count()},
      {"top1", e.metrics.top1()}, {"top5", e.metrics.top5()},
      {"loss", e.metrics.loss()}, {"average", train::name_of(s.views.rule(n.multi_label))},
      {"clips", n.recipe.clips},  {"crops", n.recipe.crops},
      {"seconds", e.seconds},     {"device", device},
      {"classes", n.classes},     {"confusion", e.metrics.confusion()}};
  if (n.multi_label) all["mean_average_precision"] = e.mean_average_precision;
  return all;
}

/// Of several labels a video: a label counts as found where it is the highest score.
void print_several(const Network& n, const train::Evaluation& e) {
  std::printf("%s\n",
              fmt::format("mAP {:.1f}%  highest score is a label {:.1f}%  loss {:.4f}  of {} "
                          "videos; mean of sigmoid over {} x {} views (clips x crops)",
                          100 * e.mean_average_precision, 100 * e.metrics.top1(), e.metrics.loss(),
                          e.metrics.count(), n.recipe.clips, n.recipe.crops)
                  .c_str());
}

void print(const Network& n, const train::Evaluation& e, const Settings& s) {
  if (n.multi_label) return print_several(n, e);
  for (size_t c = 0; c < n.classes.size(); ++c) {
    const std::vector<int64_t>& row = e.metrics.confusion()[c];
    const int64_t all = std::accumulate(row.begin(), row.end(), int64_t(0));
    if (!all) continue;
    std::printf("%s\n", fmt::format("{:<24}{:>4} of {:>4}  {:>5.1f}%", n.classes[c], row[c], all,
                                    100 * double(row[c]) / double(all))
                            .c_str());
  }
  std::printf(
      "%s\n",
      fmt::format("top-1 {:.1f}%  top-5 {:.1f}%  loss {:.4f}  of {} videos; mean of {} over "
                  "{} x {} views (clips x crops)",
                  100 * e.metrics.top1(), 100 * e.metrics.top5(), e.metrics.loss(),
                  e.metrics.count(), s.views.average, n.recipe.clips, n.recipe.crops)
          .c_str());
}

int evaluate(const Settings& s) {
  s.data.check();
  check_output("--csv", s.csv);
  set_threads(s.threads);
  const Compute compute = s.device.enter(s.views.dtype == "tf32");
  Network n = load_network(s.run, s.weights);
  s.views.apply(n.recipe);
  s.views.set_precision(*n.net);
  const video::Dataset data = s.data.evaluation(n.classes, n.multi_label);
  video::SkippedFiles skipped([&](const std::string& text) { s.data.warn(text); });
  video::Loader loader(data, n.recipe,
                       {.batch = std::max<int64_t>(1, s.batch / n.recipe.views()),
                        .raw = compute.on_gpu,
                        .views_at_once = s.batch,
                        .threads = int(s.workers),
                        .memory_cap_bytes = s.memory_cap_mb << 20,
                        .cache_bytes = 0,
                        .index = s.data.index({&data}, s.workers, s.json),
                        .frame_cache = s.data.frame_cache(),
                        .skipped = &skipped});
  std::fprintf(stderr, "eval: %s\n", compute.remark.c_str());
  train::ProgressLine line;
  const auto began = std::chrono::steady_clock::now();
  const train::Evaluation e = train::evaluate(
      *n.net, [&](const Tensor& x) { return n.net->forward(x); }, loader,
      s.views.rule(n.multi_label),
      [&](int64_t done) {
        if (!line.due()) return;
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        const double left = double(data.samples.size()) - double(done);
        line.show(
            fmt::format("eval: {}/{} videos  {:.1f} videos/s  ETA {}  data wait {:.0f}%  "
                        "memory {} MB",
                        done, data.samples.size(), double(done) / took.count(),
                        train::clock_text(took.count() / double(done) * left),
                        100 * loader.wait_seconds() / took.count(), train::memory_held() >> 20));
      });
  line.end();
  if (s.json) {
    std::printf("%s\n", report(n, e, s, compute.device).dump(2).c_str());
  } else {
    print(n, e, s);
  }
  // Last: what stands above is not lost where the file cannot be written.
  if (!s.csv.empty()) train::write_scores(s.csv, e, data, true);
  return 0;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  declare_source(options, s->run, s->weights);
  s->data.declare(options);
  s->views.declare(options);
  s->device.declare(options);
  options.add("--batch", s->batch, "clips that run through the network at once", 1);
  options.add("--threads", s->threads, "threads that compute; 0: all cores", 0, most_threads);
  options.add("--workers", s->workers, "threads that decode videos", 1, most_threads);
  options.add("--memory-cap-mb", s->memory_cap_mb, "MB of clips that wait for the network", 1,
              most_megabytes);
  options.add_flag("--json", s->json, "print JSON");
  options.add("--csv", s->csv, "file for the scores of each video: a line each");
  options.add_config();
  return [s] { return evaluate(*s); };
}

}  // namespace

extern const Command eval_command;
const Command eval_command = {"eval", "how well a trained network names a folder of videos",
                              define};

}  // namespace kinema::tools
