#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include "engine/data/loader.h"
#include "engine/train/trainer.h"
#include "kernels/base/runtime.h"
#include "tools/base/command.h"
#include "tools/base/data_settings.h"
#include "tools/base/device_settings.h"
#include "tools/base/interrupt.h"
#include "tools/base/learning_settings.h"
#include "tools/base/network.h"
#include "tools/base/resume.h"
#include "tools/base/run_log.h"

namespace kinema::tools {

namespace {

namespace fs = std::filesystem;
namespace train = engine::train;
namespace video = engine::video;

struct Settings {
  std::string model, run, resume, weights;
  DataSettings data{"train"};
  ModelSettings network;
  ClipSettings clips;
  LearningSettings learning;
  DeviceSettings device;
  int64_t epochs = 0, batch = 16, seed = 1, threads = 0, workers = 2, eval_every = 1;
  int64_t memory_cap_mb = 512, cache_mb = 512, checkpoint_every = 0, keep = 2;
  bool quiet = false, graph = true;
  std::string average = "softmax";
};

/// Enough epochs for 200 steps, at least 20.
int64_t epochs_for(int64_t wanted, int64_t steps_an_epoch) {
  return wanted ? wanted : std::max<int64_t>(20, (199 + steps_an_epoch) / steps_an_epoch);
}

/// runs/MODEL, or the first of runs/MODEL-2, -3, ... that does not exist.
fs::path free_folder(const std::string& model) {
  fs::path path = fs::path("runs") / model;
  for (int i = 2; fs::exists(path); ++i)
    path = fs::path("runs") / (model + "-" + std::to_string(i));
  return path;
}

void check_settings(const Settings& s) {
  s.data.check();
  usage(!s.model.empty(), "train: name a network with --model: ", model_names());
}

/// The network with its first weights, its recipe and its classes; these are as `old` has them, be
/// a model's defaults what they may by now.
Network make_network(const Settings& s, const Options& given, const video::Dataset& data,
                     const ResumedRun& old) {
  Network n;
  n.model = &model_or_usage(s.model);
  if (!old.folder) {
    n.options = s.network.options_for(*n.model, int64_t(data.classes.size()), given);
    n.recipe = s.clips.recipe_for(*n.model, n.options, given);
  } else {
    old.config.at("options").get_to(n.options);
    old.config.at("recipe").get_to(n.recipe);
  }
  n.classes = data.classes;
  n.multi_label = data.multi_label;
  check_fits(*n.model, n.options);
  n.net = n.model->create(n.options);
  n.net->initialise(uint64_t(s.seed));
  if (!s.weights.empty() && !old.checkpoint) {
    const fs::path path = train::checkpoint_of(s.weights);
    engine::io::load_state(*n.net, train::read_weights(path), "\"" + path.string() + "\"");
  }
  return n;
}

/// Where clips come from beside the videos themselves, and what hears of broken ones.
struct Source {
  fs::path folder;  ///< of the run
  std::shared_ptr<const video::VideoIndex> index;
  std::shared_ptr<video::FrameCache> frame_cache;
  video::SkippedFiles skipped;
};

Source source_of(const Settings& s, const TrainingData& data, const ResumedRun& old) {
  const fs::path folder = old.folder      ? old.folder->path()
                          : s.run.empty() ? free_folder(s.model)
                                          : fs::path(s.run);
  return {folder, s.data.index({&data.train, &data.held_out}, s.workers, s.quiet),
          s.data.frame_cache(), video::SkippedFiles(warn, folder / "skipped.csv")};
}

video::LoaderOptions loader_options(const Settings& s, Source& source, bool training, int64_t views,
                                    const Compute& compute) {
  return {.batch = training ? s.batch : std::max<int64_t>(1, s.batch / views),
          .training = training,
          .shuffle = training,
          .seed = uint64_t(s.seed),
          .raw = compute.on_gpu,
          .views_at_once = s.batch,
          .threads = int(s.workers),
          .memory_cap_bytes = s.memory_cap_mb << 20,
          .cache_bytes = s.cache_mb << 20,
          .index = source.index,
          .frame_cache = source.frame_cache,
          .skipped = &source.skipped};
}

void say_result(const train::TrainResult& r, const Settings& s, const TrainingData& data,
                const fs::path& folder) {
  std::string text;
  if (r.interrupted) {
    text =
        fmt::format("interrupted after {} epochs, {} steps; checkpoint: {}; go on with --resume {}",
                    r.epochs, r.steps, (folder / "last.safetensors").string(), folder.string());
  } else if (!r.last.epoch) {
    text = fmt::format(
        "nothing left to do: the run in {} has its {} epochs, {} steps; best top-1 {:.1f}% in "
        "epoch {}",
        folder.string(), r.epochs, r.steps, 100 * r.best_top1, r.best_epoch);
  } else {
    text = fmt::format(
        "{} epochs, {} steps{}{}: {} {:.1f}%, best {:.1f}% in epoch {}, of {} {}; "
        "mean of {} over {} x {} views; run folder: {}",
        r.epochs, r.steps,
        r.skipped ? fmt::format(" ({} skipped while f16 overflowed)", r.skipped) : "",
        r.stopped_early ? fmt::format(", ended by --patience {}", s.learning.patience) : "",
        data.train.multi_label ? "mAP" : "top-1", 100 * r.last.val_top1, 100 * r.best_top1,
        r.best_epoch, data.held_out.samples.size(), data.evaluated,
        data.train.multi_label ? "sigmoid" : s.average, s.clips.clips, s.clips.crops,
        folder.string());
  }
  std::printf("%s\n", text.c_str());
}

/// What config.json and each checkpoint say of the run.
nlohmann::json configuration(const Network& network, const Options& given, const Settings& s,
                             const TrainingData& data, const engine::optim::Schedule& schedule,
                             const Compute& compute) {
  nlohmann::json config = describe(network);
  describe_options(given, config);
  for (const auto& [part, set] :
       {std::pair("training", &data.train), {"evaluation", &data.held_out}})
    config["data"][part] = {{"videos", set->samples.size()}, {"digest", video::digest(*set)}};
  config["device"] = compute.device;
  if (!compute.conv3d_plans.empty()) config["conv3d_plans"] = compute.conv3d_plans;
  config["schedule"] = to_json(schedule);
  config["random"] = {{"generator", "Philox 4x32-10 of seed, step and place"}, {"seed", s.seed}};
  return config;
}

/// The folder of a new run, or that of `old`, its metrics cut to what its checkpoint knows.
std::unique_ptr<train::RunFolder> claim_folder(const fs::path& path, const nlohmann::json& config,
                                               ResumedRun& old) {
  if (!old.folder) return std::make_unique<train::RunFolder>(path, config);
  check_same_data(old.config, config);
  if (old.checkpoint) warn_of_differences(old.config, config);
  old.folder->cut_metrics(old.progress("epoch"), warn);
  return std::move(old.folder);
}

void say_beginning(const Network& network, const TrainingData& data, int64_t step,
                   const Compute& compute) {
  std::fprintf(stderr, "%s\n",
               fmt::format("train: {} on {} videos of {} classes, evaluated on {} {}{}; {}",
                           network.model->name, data.train.samples.size(),
                           data.train.classes.size(), data.held_out.samples.size(), data.evaluated,
                           step ? fmt::format("; goes on after step {}", step) : "", compute.remark)
                   .c_str());
}

train::TrainOptions train_options(const Settings& s, const Network& network, int64_t epochs) {
  train::TrainOptions o{.epochs = epochs,
                        .evaluate_every = s.eval_every,
                        .checkpoint_every = s.checkpoint_every,
                        .seed = uint64_t(s.seed),
                        .average = network.multi_label     ? train::Average::sigmoid
                                   : s.average == "logits" ? train::Average::logits
                                                           : train::Average::softmax,
                        .graph = s.graph,
                        .quiet = s.quiet,
                        .stop = interrupted};
  s.learning.apply(o);
  usage(!network.multi_label || o.mixup == 0,
        "train: --mixup mixes videos of one label each; these have several, so leave it away");
  return o;
}

/// What is said of a device that failed for good, of whose run the last checkpoint stands.
[[noreturn]] void fail_on(const kernels::DeviceLost& lost, const fs::path& folder) {
  std::error_code failed;
  const bool kept = fs::exists(folder / "last.safetensors", failed);
  engine::fail(lost.what(), kept ? "; the last checkpoint stands: go on with --resume " : "",
               kept ? folder.string() : "");
}

int run_training(Settings& s, Options& options) {
  ResumedRun old;
  if (!s.resume.empty()) old = take_up(s.resume, options);
  check_settings(s);
  s.learning.settle(options);
  set_threads(s.threads);
  const Compute compute = s.device.enter(s.learning.dtype == "tf32");
  const TrainingData data = s.data.training(uint64_t(s.seed));
  Network network = make_network(s, options, data.train, old);
  video::Recipe training = network.recipe;
  if (network.model->training_frames) training.frames = network.model->training_frames;
  Source source = source_of(s, data, old);
  video::Loader clips(data.train, training, loader_options(s, source, true, 1, compute));
  video::Loader held_out(data.held_out, network.recipe,
                         loader_options(s, source, false, network.recipe.views(), compute));
  const int64_t steps = s.learning.steps_of(clips.batches()), epochs = epochs_for(s.epochs, steps);
  network.net->checkpoint_activations(s.learning.checkpoint_activations);
  const engine::Dtype precision = precision_from(s.learning.dtype);
  engine::optim::ParameterArena arena(*network.net, precision);
  const auto optimiser = s.learning.make_optimiser(arena);
  const auto ema = s.learning.make_ema(*network.net, arena);
  const engine::optim::Schedule schedule =
      old.config.contains("schedule") ? engine::optim::schedule_from(old.config["schedule"])
                                      : s.learning.schedule_for(epochs * steps);
  const train::TrainOptions choices = train_options(s, network, epochs);
  const nlohmann::json config = configuration(network, options, s, data, schedule, compute);
  catch_interrupts();
  const auto folder = claim_folder(source.folder, config, old);
  folder->keep(s.keep);
  source.skipped.write();
  if (old.progress("epoch") < epochs) say_beginning(network, data, old.progress("step"), compute);
  const auto log = record_of({.folder = folder->path(),
                              .done = old.progress("step"),
                              .network = *network.net,
                              .arena = arena,
                              .held_out = data.held_out},
                             epochs);
  train::LossScale scale;
  const bool scaled = precision == engine::Dtype::f16;
  const train::Job job{
      .network = *network.net,
      .forward = [&](const Tensor& x) { return network.net->forward(x); },
      .arena = arena,
      .optimiser = *optimiser,
      .ema = ema.get(),
      .loss_scale = scaled ? &scale : nullptr,
      .learning_rate = schedule,
      .train = clips,
      .held_out = held_out,
      .folder = folder.get(),
      .description = config,
      .listeners = {log.get()},
      .parts = scaled ? std::vector<train::Stateful*>{&scale} : std::vector<train::Stateful*>{},
      .resume = old.checkpoint ? &*old.checkpoint : nullptr};
  const train::TrainResult result = log->watch([&] {
    try {
      return train::train(job, choices);
    } catch (const kernels::DeviceLost& lost) {
      fail_on(lost, folder->path());
    }
  });
  say_result(result, s, data, folder->path());
  return result.interrupted ? interrupted_exit() : 0;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  s->data.declare(options);
  s->data.declare_held_out(options);
  options.add("--model", s->model, "network: " + model_names());
  options.add("--run", s->run,
              "new folder for configuration, metrics and checkpoints (default "
              "runs/MODEL)");
  options.add("--resume", s->resume,
              "run folder to go on with, bit for bit, with the options it was started with");
  options.add("--checkpoint-every", s->checkpoint_every,
              "steps from one checkpoint to the next; 0: one at the end of each epoch");
  options.add("--keep", s->keep, "checkpoints that stay, beside the best", 1);
  options.add("--weights", s->weights, "checkpoint of the same network to start from");
  options.add("--epochs", s->epochs,
              "passes over the videos; 0: as many as give 200 steps, at least 20", 0, most_steps);
  options.add("--batch", s->batch, "videos of a batch, of which --accumulate make a step", 1);
  s->learning.declare(options);
  s->device.declare(options);
  s->network.declare(options);
  s->clips.declare(options);
  options.add_choice("--average", s->average, {"softmax", "logits"},
                     "what is averaged over the views of a video");
  options.add("--eval-every", s->eval_every, "epochs from one evaluation to the next", 1);
  options.add("--seed", s->seed, "draws all that is random");
  options.add("--threads", s->threads, "threads that compute; 0: all cores", 0, most_threads);
  options.add("--workers", s->workers, "threads that decode videos", 1, most_threads);
  options.add("--memory-cap-mb", s->memory_cap_mb, "MB of clips that wait for the network", 1,
              most_megabytes);
  options.add("--cache-mb", s->cache_mb, "MB of decoded videos kept", 0, most_megabytes);
  options.add_flag("--graph", s->graph,
                   "on a GPU, run steps as one graph in place of kernel by kernel: the same bits");
  options.add_flag("--quiet", s->quiet, "no progress line");
  options.add_config();
  return [s, &options] { return run_training(*s, options); };
}

}  // namespace

extern const Command train_command;
const Command train_command = {"train", "train a network on a folder of videos", define};

}  // namespace kinema::tools
