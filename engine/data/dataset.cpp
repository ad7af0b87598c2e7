#include "engine/data/dataset.h"
#include <algorithm>
#include <cmath>
#include <filesystem>
#include "engine/data/frame_folder.h"
#include "engine/data/sampling.h"
#include "engine/io/fingerprint.h"
#include "engine/io/text.h"

namespace kinema::engine::video {

namespace {

namespace fs = std::filesystem;

/// Names in `folder` that pass `wanted`, sorted; hidden ones left out.
template <class Wanted>
std::vector<std::string> names(const fs::path& folder, const Wanted& wanted) {
  std::vector<std::string> list;
  std::error_code failed;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (name[0] != '.' && wanted(*it)) list.push_back(name);
  }
  check(!failed, "data: cannot read the folder ", folder.string(), " (", failed.message(), ")");
  std::sort(list.begin(), list.end());
  return list;
}

/// Folders, also through links; what cannot be looked at is none.
bool is_folder(const fs::directory_entry& entry) {
  std::error_code failed;
  return entry.is_directory(failed);
}

bool is_video(const fs::directory_entry& entry) {
  std::error_code failed;
  if (entry.is_directory(failed)) return is_frame_folder(entry.path().string());
  return entry.is_regular_file(failed) && is_video_name(entry.path().filename().string());
}

/// "a, b, c and 4 more".
std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 6; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > 6 ? text + " and " + std::to_string(names.size() - 6) + " more" : text;
}

/// How many samples show each class.
std::vector<int64_t> counts_of(const Dataset& set) {
  std::vector<int64_t> counts(set.classes.size());
  for (const Sample& s : set.samples) {
    if (s.labels.empty()) ++counts[size_t(s.label)];
    for (int64_t label : s.labels) ++counts[size_t(label)];
  }
  return counts;
}

std::vector<std::string> classes_with(const Dataset& set, int64_t wanted) {
  std::vector<std::string> names;
  const std::vector<int64_t> counts = counts_of(set);
  for (size_t c = 0; c < counts.size(); ++c)
    if (counts[c] == wanted) names.push_back(set.classes[c]);
  return names;
}

}  // namespace

bool is_video_name(const std::string& path) {
  static const char* const endings[] = {".mp4",  ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg",
                                        ".mpeg", ".wmv", ".flv", ".3gp", ".ts",   ".ogv", ".gif"};
  std::string ending = fs::path(path).extension().string();
  for (char& c : ending) c = char(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return std::find(std::begin(endings), std::end(endings), ending) != std::end(endings);
}

std::string name_of(const Dataset& set, const Sample& sample) {
  const std::string name = fs::path(sample.path).lexically_relative(set.root).generic_string();
  return set.root.empty() || name.empty() || name.starts_with("..") ? sample.path : name;
}

std::string digest(const Dataset& set) {
  io::Fingerprint f;
  for (const std::string& name : set.classes) f.add(name);
  for (const Sample& s : set.samples) {
    f.add(name_of(set, s));
    f.add(s.label);
    for (int64_t label : s.labels) f.add(label);
  }
  return f.hex();
}

Dataset scan_folder(const std::string& root) {
  std::error_code failed;
  check(fs::exists(root, failed), "data: no such folder: ", root);
  check(fs::is_directory(root, failed), "data: expected a folder, got a file: ", root);
  Dataset found;
  found.root = root;
  found.classes = names(root, is_folder);
  check(!found.classes.empty(), "data: ", root,
        " holds no class folders; put the videos of each class into a folder named after it");
  for (std::string name : found.classes) {
    const bool shown = io::is_text(name);  // in JSON and on the page of a run
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    check(shown, "data: the name of the class folder '", name, "' in ", root,
          " is no UTF-8 text; rename it");
  }
  std::string without;
  for (size_t label = 0; label < found.classes.size(); ++label) {
    const fs::path folder = fs::path(root) / found.classes[label];
    const std::vector<std::string> files = names(folder, is_video);
    for (const std::string& file : files)
      found.samples.push_back({(folder / file).string(), int64_t(label)});
    if (files.empty() && without.empty()) without = folder.string();
  }
  check(!found.samples.empty(), "data: no video in any class folder of ", root,
        "; expected files as in ", root, "/", found.classes[0], "/clip.mp4");
  check(without.empty(), "data: no video in ", without, "; add some or remove the folder");
  return found;
}

Dataset with_classes(Dataset set, const std::vector<std::string>& classes,
                     const std::string& source, const std::string& known) {
  std::vector<int64_t> place;
  for (const std::string& name : set.classes) {
    const auto at = std::find(classes.begin(), classes.end(), name);
    check(at != classes.end(), source, " has class '", name, "', which ", known,
          " does not know; it knows ", some_of(classes));
    place.push_back(at - classes.begin());
  }
  for (Sample& s : set.samples) {
    s.label = place[size_t(s.label)];
    for (int64_t& label : s.labels) label = place[size_t(label)];
    std::sort(s.labels.begin(), s.labels.end());
    if (!s.labels.empty()) s.label = s.labels[0];
  }
  set.classes = classes;
  return set;
}

Split split(const Dataset& all, double fraction, uint64_t seed) {
  check(fraction >= 0 && fraction <= 1, "data: the share held out must be in [0, 1], got ",
        fraction);
  std::vector<std::vector<size_t>> members(all.classes.size());
  for (size_t i = 0; i < all.samples.size(); ++i)
    members[size_t(all.samples[i].label)].push_back(i);
  std::vector<bool> held_out(all.samples.size());
  for (size_t label = 0; label < members.size(); ++label) {
    const int64_t count = int64_t(members[label].size());
    const int64_t out = std::llround(fraction * double(count));
    // The label stands where shuffled() takes the epoch: another order for each class.
    const std::vector<int64_t> order = shuffled(count, seed, int64_t(label));
    for (int64_t i = 0; i < out; ++i) held_out[members[label][size_t(order[size_t(i)])]] = true;
  }
  Split parts{all, all};
  parts.train.samples.clear();
  parts.held_out.samples.clear();
  for (size_t i = 0; i < all.samples.size(); ++i)
    (held_out[i] ? parts.held_out : parts.train).samples.push_back(all.samples[i]);
  return parts;
}

std::vector<std::string> remarks(const Dataset& train, const Dataset& held_out) {
  std::vector<std::string> said;
  const auto say = [&](const std::vector<std::string>& names, const std::string& what) {
    if (names.empty()) return;
    const std::string count = std::to_string(names.size()) + " of " +
                              std::to_string(train.classes.size()) +
                              (train.classes.size() == 1 ? " class " : " classes ") +
                              (names.size() == 1 ? "has " : "have ");
    said.push_back(count + what + ": " + some_of(names));
  };
  say(classes_with(train, 0), "no video to train on");
  say(classes_with(train, 1), "a single video to train on");
  say(classes_with(held_out, 0), "no video to evaluate on");
  return said;
}

}  // namespace kinema::engine::video
