#include "tools/base/data_settings.h"
#include <fmt/format.h>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include "engine/data/lists.h"
#include "engine/train/progress.h"

namespace kinema::tools {

namespace fs = std::filesystem;
namespace video = engine::video;

void DataSettings::warn(const std::string& sentence) const {
  std::fprintf(stderr, "%s: warning: %s\n", command_.c_str(), sentence.c_str());
}

void DataSettings::declare(Options& options) {
  options.add("--data", data_,
              "folder with one folder of videos a class, or CSV list of lines path,label (or "
              "path,a;b)");
  options.add("--root", root_, "folder that paths of a list count from (default: the list's)");
  options.add("--split", split_,
              "folder of the official split files of UCF101 or HMDB51; --data is that of the "
              "videos then");
  options.add("--fold", fold_, "which official split", 1);
  options.add("--index", index_,
              "file that keeps what is known of the videos, or none (default: one below "
              "$XDG_CACHE_HOME/kinema)");
  options.add("--frame-cache", frame_cache_,
              "folder that keeps decoded, resized frames and stands in for videos that are not "
              "there");
}

void DataSettings::declare_held_out(Options& options) {
  options.add("--val", val_, "such a folder or list, to evaluate on");
  options.add("--val-fraction", val_fraction_, "share of each class held out to evaluate on");
  options.add("--classes", classes_, "file with one class name a line: what a list's labels name");
}

void DataSettings::check() const {
  usage(!data_.empty(), command_,
        ": name a folder with one folder of videos a class, or a CSV list, with --data");
  usage(val_.empty() || val_fraction_ == 0, command_, ": give either --val or --val-fraction");
  usage(split_.empty() || (val_.empty() && val_fraction_ == 0), command_,
        ": --split says what is held out; leave --val and --val-fraction away");
  usage(val_fraction_ < 1, "--val-fraction must be below 1, got ", val_fraction_);
}

/// A folder or a list. `known` are the classes that labels may name; empty: all are new.
video::Dataset DataSettings::read(const std::string& path, const std::vector<std::string>& known,
                                  std::optional<bool> multi_label) const {
  std::error_code failed;
  if (!fs::is_regular_file(path, failed)) {
    engine::check(multi_label != true, command_, ": ", fs::path(path),
                  " is a folder, whose videos have one class each, but the network was trained on "
                  "several a video; give a CSV list");
    video::Dataset found = video::scan_folder(path);
    if (known.empty()) return found;
    return video::with_classes(std::move(found), known, command_ + ": \"" + path + "\"",
                               "the network");
  }
  usage(!video::is_video_name(path), command_, ": ", fs::path(path),
        " is one video; give a folder or a CSV list of videos");
  return video::read_csv(path, {.root = root_,
                                .classes = known,
                                .multi_label = multi_label,
                                .files_exist = frame_cache_.empty()});
}

video::Split DataSettings::official() const {
  return video::read_official(data_, split_, fold_, frame_cache_.empty());
}

TrainingData DataSettings::training(uint64_t seed) const {
  TrainingData d;
  if (!split_.empty()) {
    video::Split parts = official();
    d = {std::move(parts.train), std::move(parts.held_out),
         fmt::format("videos of split {}", fold_)};
  } else {
    const auto known =
        classes_.empty() ? std::vector<std::string>() : video::read_classes(classes_);
    d.train = read(data_, known, {});
  }
  if (!val_.empty()) {
    d.held_out = read(val_, d.train.classes, d.train.multi_label);
    d.evaluated = "videos of " + val_;
  } else if (val_fraction_ > 0) {
    const video::Split parts = video::split(d.train, val_fraction_, seed);
    d.train = parts.train;
    d.held_out = parts.held_out;
    engine::check(!d.train.samples.empty() && !d.held_out.samples.empty(), command_,
                  ": --val-fraction ", val_fraction_, " leaves ", d.train.samples.size(),
                  " videos to train on and ", d.held_out.samples.size(), " to evaluate");
    d.evaluated = "held-out videos";
  } else if (split_.empty()) {
    d.held_out = d.train;
    d.evaluated = "training videos (no held-out set: give --val or --val-fraction)";
  }
  for (const std::string& sentence : video::remarks(d.train, d.held_out)) warn(sentence);
  return d;
}

video::Dataset DataSettings::evaluation(const std::vector<std::string>& classes,
                                        bool multi_label) const {
  if (split_.empty()) return read(data_, classes, multi_label);
  return video::with_classes(official().held_out, classes, command_ + ": \"" + split_ + "\"",
                             "the network");
}

std::shared_ptr<const video::VideoIndex> DataSettings::index(
    const std::vector<const video::Dataset*>& sets, int64_t threads, bool quiet) const {
  if (index_ == "none") return nullptr;
  std::vector<std::string> paths;
  std::error_code failed;
  for (const video::Dataset* set : sets)
    for (const video::Sample& s : set->samples)
      // With a frame cache videos need not be there.
      if (frame_cache_.empty() || fs::exists(s.path, failed)) paths.push_back(s.path);
  engine::train::ProgressLine line(quiet);
  const auto began = std::chrono::steady_clock::now();
  const auto progress = [&](int64_t done, int64_t all) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (took.count() > 1 && line.due())
      line.show(fmt::format("looking at videos: {}/{}", done, all));
  };
  const fs::path file = index_.empty() ? video::default_index(data_) : fs::path(index_);
  return std::make_shared<const video::VideoIndex>(video::VideoIndex::open(
      file, paths, int(threads), [this](const std::string& text) { warn(text); }, progress));
}

std::shared_ptr<video::FrameCache> DataSettings::frame_cache() const {
  if (frame_cache_.empty()) return nullptr;
  return std::make_shared<video::FrameCache>(
      frame_cache_, [command = *this](const std::string& text) { command.warn(text); });
}

}  // namespace kinema::tools
