#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include "engine/data/loader.h"
#include "engine/train/trainer.h"
#include "tools/base/command.h"
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
  std::string data, val, model, run, resume, weights;
  double val_fraction = 0;
  ModelSettings network;
  ClipSettings clips;
  LearningSettings learning;
  int64_t epochs = 0, batch = 16, seed = 1, threads = 0, workers = 2, eval_every = 1;
  int64_t memory_cap_mb = 512, cache_mb = 512, checkpoint_every = 0, keep = 2;
  bool quiet = false;
  std::string average = "softmax";
};

/// The two data sets: what is trained on and what is evaluated.
struct Data {
  video::Dataset train, held_out;
  std::string evaluated;  ///< what the second is, for people
};

Data read_data(const Settings& s) {
  Data d;
  d.train = video::scan_folder(s.data);
  if (!s.val.empty()) {
    d.held_out = video::scan_folder(s.val);
    engine::check(d.held_out.classes == d.train.classes, "train: ", fs::path(s.val),
                  " has classes ", listed(d.held_out.classes), ", but ", fs::path(s.data), " has ",
                  listed(d.train.classes));
    d.evaluated = "videos of " + s.val;
  } else if (s.val_fraction > 0) {
    const video::Split parts = video::split(d.train, s.val_fraction, uint64_t(s.seed));
    d.train = parts.train;
    d.held_out = parts.held_out;
    engine::check(!d.train.samples.empty() && !d.held_out.samples.empty(), "train: --val-fraction ",
                  s.val_fraction, " leaves ", d.train.samples.size(), " videos to train on and ",
                  d.held_out.samples.size(), " to evaluate");
    d.evaluated = "held-out videos";
  } else {
    d.held_out = d.train;
    d.evaluated = "training videos (no held-out set: give --val or --val-fraction)";
  }
  return d;
}

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
  usage(!s.data.empty(), "train: name a folder with one folder of videos a class with --data");
  usage(!s.model.empty(), "train: name a network with --model: ", model_names());
  usage(s.val.empty() || s.val_fraction == 0, "train: give either --val or --val-fraction");
  usage(s.val_fraction < 1, "--val-fraction must be below 1, got ", s.val_fraction);
}

/// The network with its first weights, its recipe and its classes; these are as `old` has them, be
/// a model's defaults what they may by now.
Network make_network(const Settings& s, const Options& given,
                     const std::vector<std::string>& classes, const ResumedRun& old) {
  Network n;
  n.model = &model_or_usage(s.model);
  if (!old.folder) {
    n.options = s.network.options_for(*n.model, int64_t(classes.size()), given);
    n.recipe = s.clips.recipe_for(*n.model, n.options, given);
  } else {
    old.config.at("options").get_to(n.options);
    old.config.at("recipe").get_to(n.recipe);
  }
  n.classes = classes;
  check_fits(*n.model, n.options);
  n.net = n.model->create(n.options);
  n.net->initialise(uint64_t(s.seed));
  if (!s.weights.empty() && !old.checkpoint) {
    const fs::path path = train::checkpoint_of(s.weights);
    engine::io::load_state(*n.net, train::read_weights(path), "\"" + path.string() + "\"");
  }
  return n;
}

video::LoaderOptions loader_options(const Settings& s, bool training, int64_t views) {
  return {.batch = training ? s.batch : std::max<int64_t>(1, s.batch / views),
          .training = training,
          .shuffle = training,
          .seed = uint64_t(s.seed),
          .views_at_once = s.batch,
          .threads = int(s.workers),
          .memory_cap_bytes = s.memory_cap_mb << 20,
          .cache_bytes = s.cache_mb << 20};
}

void say_result(const train::TrainResult& r, const Settings& s, const Data& data,
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
        "{} epochs, {} steps{}{}: top-1 {:.1f}%, best {:.1f}% in epoch {}, of {} {}; "
        "mean of {} over {} x {} views; run folder: {}",
        r.epochs, r.steps,
        r.skipped ? fmt::format(" ({} skipped while f16 overflowed)", r.skipped) : "",
        r.stopped_early ? fmt::format(", ended by --patience {}", s.learning.patience) : "",
        100 * r.last.val_top1, 100 * r.best_top1, r.best_epoch, data.held_out.samples.size(),
        data.evaluated, s.average, s.clips.clips, s.clips.crops, folder.string());
  }
  std::printf("%s\n", text.c_str());
}

/// What config.json and each checkpoint say of the run.
nlohmann::json configuration(const Network& network, const Options& given, const Settings& s,
                             const Data& data, const engine::optim::Schedule& schedule) {
  nlohmann::json config = describe(network);
  describe_options(given, config);
  for (const auto& [part, set] :
       {std::pair("training", &data.train), {"evaluation", &data.held_out}})
    config["data"][part] = {{"videos", set->samples.size()}, {"digest", video::digest(*set)}};
  config["schedule"] = to_json(schedule);
  config["random"] = {{"generator", "Philox 4x32-10 of seed, step and place"}, {"seed", s.seed}};
  return config;
}

/// The folder of a new run, or that of `old`, its metrics cut to what its checkpoint knows.
std::unique_ptr<train::RunFolder> claim_folder(const Settings& s, const nlohmann::json& config,
                                               ResumedRun& old) {
  if (!old.folder)
    return std::make_unique<train::RunFolder>(
        s.run.empty() ? free_folder(s.model) : fs::path(s.run), config);
  check_same_data(old.config, config);
  if (old.checkpoint) warn_of_differences(old.config, config);
  old.folder->cut_metrics(old.progress("epoch"), warn);
  return std::move(old.folder);
}

void say_beginning(const Network& network, const Data& data, int64_t step) {
  std::fprintf(stderr, "%s\n",
               fmt::format("train: {} on {} videos of {} classes, evaluated on {} {}{}",
                           network.model->name, data.train.samples.size(),
                           data.train.classes.size(), data.held_out.samples.size(), data.evaluated,
                           step ? fmt::format("; goes on after step {}", step) : "")
                   .c_str());
}

train::TrainOptions train_options(const Settings& s, int64_t epochs) {
  train::TrainOptions o{
      .epochs = epochs,
      .evaluate_every = s.eval_every,
      .checkpoint_every = s.checkpoint_every,
      .seed = uint64_t(s.seed),
      .average = s.average == "logits" ? train::Average::logits : train::Average::softmax,
      .quiet = s.quiet,
      .stop = interrupted};
  s.learning.apply(o);
  return o;
}

int run_training(Settings& s, Options& options) {
  ResumedRun old;
  if (!s.resume.empty()) old = take_up(s.resume, options);
  check_settings(s);
  s.learning.settle(options);
  set_threads(s.threads);
  const Data data = read_data(s);
  Network network = make_network(s, options, data.train.classes, old);
  video::Recipe training = network.recipe;
  if (network.model->training_frames) training.frames = network.model->training_frames;
  video::Loader clips(data.train, training, loader_options(s, true, 1));
  video::Loader held_out(data.held_out, network.recipe,
                         loader_options(s, false, network.recipe.views()));
  const int64_t steps = s.learning.steps_of(clips.batches()), epochs = epochs_for(s.epochs, steps);
  network.net->checkpoint_activations(s.learning.checkpoint_activations);
  const engine::Dtype precision = precision_from(s.learning.precision);
  engine::optim::ParameterArena arena(*network.net, precision);
  const auto optimiser = s.learning.make_optimiser(arena);
  const auto ema = s.learning.make_ema(*network.net, arena);
  const engine::optim::Schedule schedule =
      old.config.contains("schedule") ? engine::optim::schedule_from(old.config["schedule"])
                                      : s.learning.schedule_for(epochs * steps);
  const nlohmann::json config = configuration(network, options, s, data, schedule);
  catch_interrupts();
  const auto folder = claim_folder(s, config, old);
  folder->keep(s.keep);
  if (old.progress("epoch") < epochs) say_beginning(network, data, old.progress("step"));
  const auto log = record_of({.folder = folder->path(),
                              .done = old.progress("step"),
                              .network = *network.net,
                              .arena = arena,
                              .held_out = data.held_out},
                             epochs);
  train::LossScale scale;
  const bool scaled = precision == engine::Dtype::f16;
  const train::TrainResult result = log->watch([&] {
    return train::train(
        {.network = *network.net,
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
         .resume = old.checkpoint ? &*old.checkpoint : nullptr},
        train_options(s, epochs));
  });
  say_result(result, s, data, folder->path());
  return result.interrupted ? interrupted_exit() : 0;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  options.add("--data", s->data, "folder with one folder of videos a class");
  options.add("--model", s->model, "network: " + model_names());
  options.add("--val", s->val, "such a folder, to evaluate on");
  options.add("--val-fraction", s->val_fraction, "share of each class held out to evaluate on");
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
  options.add_flag("--quiet", s->quiet, "no progress line");
  options.add_config();
  return [s, &options] { return run_training(*s, options); };
}

}  // namespace

extern const Command train_command;
const Command train_command = {"train", "train a network on a folder of videos", define};

}  // namespace kinema::tools
