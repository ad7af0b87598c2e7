#include <fmt/format.h>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include "engine/io/csv.h"
#include "engine/io/files.h"
#include "engine/train/predict.h"
#include "tools/base/command.h"
#include "tools/base/device_settings.h"
#include "tools/base/interrupt.h"
#include "tools/base/network.h"
#include "tools/base/score_video.h"

namespace kinema::tools {

namespace {

namespace fs = std::filesystem;
namespace train = engine::train;
using nlohmann::json;

struct Settings {
  std::vector<std::string> files;
  std::string run, weights, csv, video;
  ViewSettings views;
  DeviceSettings device;
  int64_t threads = 0, batch = 16;
  double every = 0;
  bool json = false;
};

void check_settings(const Settings& s) {
  usage(!s.files.empty(), "predict: expected a video FILE");
  usage(s.csv.empty() || s.every > 0, "predict: --csv needs --every, the seconds between scores");
  usage(s.video.empty() || s.files.size() == 1, "predict: --video takes one FILE, got ",
        s.files.size());
  check_output("--csv", s.csv);
  check_output("--video", s.video);
  std::error_code missing;
  usage(s.video.empty() || !fs::equivalent(s.video, s.files[0], missing),
        "predict: --video would overwrite its own FILE ", fs::path(s.video));
}

/// What is asked of the network, and where the answers go: standard output, a JSON value, a CSV.
class Job {
 public:
  Job(const Settings& s, const Network& n, const train::Predictor& p)
      : s_(s), network_(n), predictor_(p) {}

  /// Answers for one file; false if it was interrupted. Errors: a video that cannot be read.
  bool run(const std::string& file) {
    json result = {{"file", file},
                   {"model", network_.model->name},
                   {"average", train::name_of(s_.views.rule(network_.multi_label))}};
    if (s_.every > 0) {
      over_time(file, result);
    } else {
      whole(file, result);
    }
    if (!s_.video.empty()) {
      const double every = s_.every > 0 ? s_.every : 1;
      if (!write_score_video(predictor_, network_.classes, file, every, s_.video)) return false;
    }
    results_.push_back(result);
    return true;
  }
  void failed(const std::string& file, const std::string& reason) {
    results_.push_back({{"file", file}, {"error", reason}});
  }
  void finish() const {
    if (s_.json)
      std::printf("%s\n", (s_.files.size() == 1 ? results_[0] : results_).dump(2).c_str());
    if (s_.csv.empty()) return;
    engine::io::write_whole(s_.csv, [&](std::ostream& out) {
      out << "file,seconds,class,probability\n" << csv_;
    });
  }

 private:
  /// Of several files each answer stands under its name.
  void print_name(const std::string& file) const {
    if (!s_.json && s_.files.size() > 1) std::printf("%s\n", file.c_str());
  }
  void whole(const std::string& file, json& result) {
    const std::vector<double> p = train::predict(predictor_, file);
    print_name(file);
    json top = json::array();
    for (int64_t c : train::highest(p, 5)) {
      top.push_back({{"class", network_.classes[size_t(c)]}, {"probability", p[size_t(c)]}});
      if (!s_.json)
        std::printf("%6.2f%%  %s\n", 100 * p[size_t(c)], network_.classes[size_t(c)].c_str());
    }
    result["clips"] = network_.recipe.clips;
    result["crops"] = network_.recipe.crops;
    result["top"] = top;
  }
  void over_time(const std::string& file, json& result) {
    train::Timeline timeline(predictor_, file, s_.every);
    print_name(file);
    json scores = json::array();
    for (train::Timeline::Point point; timeline.next(point);) {
      const auto best = size_t(train::highest(point.probabilities, 1)[0]);
      const std::string& name = network_.classes[best];
      const double p = point.probabilities[best];
      if (s_.json) {
        scores.push_back({{"seconds", point.seconds}, {"class", name}, {"probability", p}});
      } else {
        std::printf("%9.2f s  %6.2f%%  %s\n", point.seconds, 100 * p, name.c_str());
      }
      if (!s_.csv.empty())
        csv_ += fmt::format("{},{},{},{:.6f}\n", engine::io::csv_field(file), point.seconds,
                            engine::io::csv_field(name), p);
    }
    result["every"] = s_.every;
    result["crops"] = network_.recipe.crops;
    result["scores"] = scores;
  }

  const Settings& s_;
  const Network& network_;
  const train::Predictor& predictor_;
  json results_ = json::array();
  std::string csv_;
};

int predict(const Settings& s) {
  check_settings(s);
  set_threads(s.threads);
  const Compute compute = s.device.enter(s.views.dtype == "tf32");
  Network n = load_network(s.run, s.weights);
  s.views.apply(n.recipe);
  s.views.set_precision(*n.net);
  std::optional<train::Feed> feed;
  if (compute.on_gpu) feed.emplace(n.recipe, n.net->precision());
  const train::Predictor predictor{.forward = [&](const Tensor& x) { return n.net->forward(x); },
                                   .recipe = n.recipe,
                                   .average = s.views.rule(n.multi_label),
                                   .batch = s.batch,
                                   .feed = feed ? &*feed : nullptr};
  if (!s.video.empty()) catch_interrupts();
  std::fprintf(stderr, "predict: %s\n", compute.remark.c_str());
  Job job(s, n, predictor);
  int code = 0;
  for (const std::string& file : s.files) {
    try {
      if (!job.run(file)) return interrupted_exit();
    } catch (const engine::Error& e) {
      std::fprintf(stderr, "kinema: %s\n", e.what());
      job.failed(file, e.what());
      code = 1;
    }
  }
  job.finish();
  return code;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  options.add("FILE", s->files, "videos");
  declare_source(options, s->run, s->weights);
  s->views.declare(options);
  s->device.declare(options);
  options.add("--every", s->every, "seconds from one score to the next; 0: one answer a video");
  options.add("--csv", s->csv, "file for the scores of --every: file,seconds,class,probability");
  options.add("--video", s->video,
              "file for the video with its scores drawn in (.mp4; every second without --every)");
  options.add("--batch", s->batch, "clips that run through the network at once", 1);
  options.add("--threads", s->threads, "threads that compute; 0: all cores", 0, most_threads);
  options.add_flag("--json", s->json,
                   "print JSON: an object, or a list of them for several videos");
  options.add_config();
  return [s] { return predict(*s); };
}

}  // namespace

extern const Command predict_command;
const Command predict_command = {"predict", "the likeliest classes of videos, also over time",
                                 define};

}  // namespace kinema::tools
