#include "engine/data/dataset.h"
#include <algorithm>
#include <cmath>
#include <filesystem>
#include "engine/data/sampling.h"

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
  return entry.is_regular_file(failed) && is_video_name(entry.path().filename().string());
}

}  // namespace

bool is_video_name(const std::string& path) {
  static const char* const endings[] = {".mp4",  ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg",
                                        ".mpeg", ".wmv", ".flv", ".3gp", ".ts",   ".ogv", ".gif"};
  std::string ending = fs::path(path).extension().string();
  for (char& c : ending) c = char(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return std::find(std::begin(endings), std::end(endings), ending) != std::end(endings);
}

Dataset scan_folder(const std::string& root) {
  std::error_code failed;
  check(fs::exists(root, failed), "data: no such folder: ", root);
  check(fs::is_directory(root, failed), "data: expected a folder, got a file: ", root);
  Dataset found;
  found.classes = names(root, is_folder);
  check(!found.classes.empty(), "data: ", root,
        " holds no class folders; put the videos of each class into a folder named after it");
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
  Split parts{{all.classes, {}}, {all.classes, {}}};
  for (size_t i = 0; i < all.samples.size(); ++i)
    (held_out[i] ? parts.held_out : parts.train).samples.push_back(all.samples[i]);
  return parts;
}

}  // namespace kinema::engine::video
