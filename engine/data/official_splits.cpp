#include <fmt/format.h>
#include <algorithm>
#include <filesystem>
#include <map>
#include "engine/data/lists.h"
#include "engine/data/text_list.h"
#include "kernels/base/error.h"

namespace kinema::engine::video {

namespace fs = std::filesystem;
using kernels::check;

namespace {

/// A part of a split: its samples, and the lines that name them.
struct Part {
  std::vector<Sample> samples;
  std::vector<Line> lines;
};

/// The text before the last blank, and what stands behind it; the second is empty without a blank.
std::pair<std::string, std::string> cut_last(const std::string& text) {
  const size_t blank = text.find_last_of(" \t");
  if (blank == std::string::npos) return {text, ""};
  return {trimmed(text.substr(0, blank)), text.substr(blank + 1)};
}

/// VIDEOS/CLASS/FILE, or VIDEOS/FILE where that alone exists.
std::string video_path(const std::string& videos, const std::string& name,
                       const std::string& file) {
  const fs::path usual = fs::path(videos) / name / file, flat = fs::path(videos) / file;
  std::error_code failed;
  return (!fs::exists(usual, failed) && fs::exists(flat, failed) ? flat : usual).string();
}

/// The names of classInd.txt, whose lines count from 1.
std::vector<std::string> ucf_classes(const std::string& path) {
  std::vector<std::string> classes;
  for (const Line& line : read_lines(path)) {
    const size_t blank = line.text.find_first_of(" \t");
    const std::string name = blank == std::string::npos ? "" : trimmed(line.text.substr(blank + 1));
    check(!name.empty() && number_of(line.text.substr(0, blank)) == int64_t(classes.size()) + 1,
          line.where, "expected '", classes.size() + 1, " CLASS', got '", line.text, "'");
    classes.push_back(name);
  }
  check(!classes.empty(), "data: ", path, " names no classes");
  return classes;
}

Part ucf_part(const std::string& videos, const std::string& list,
              const std::vector<std::string>& classes, bool numbered) {
  Part part;
  for (const Line& line : read_lines(list)) {
    const auto [name, number] =
        numbered ? cut_last(line.text) : std::pair(line.text, std::string());
    const size_t slash = name.find('/');
    check(slash != std::string::npos && slash > 0 && slash + 1 < name.size() &&
              (!numbered || number_of(number) >= 0),
          line.where, "expected 'CLASS/VIDEO.avi", numbered ? " NUMBER" : "", "', got '", line.text,
          "'");
    const std::string of = name.substr(0, slash);
    const auto at = std::find(classes.begin(), classes.end(), of);
    check(at != classes.end(), line.where, "class '", of, "' does not stand in classInd.txt");
    const int64_t label = at - classes.begin();
    check(!numbered || number_of(number) == label + 1, line.where, "class '", of, "' has number ",
          label + 1, " in classInd.txt, not ", number);
    part.samples.push_back({video_path(videos, of, name.substr(slash + 1)), label});
    part.lines.push_back(line);
  }
  check(!part.samples.empty(), "data: ", list, " lists no videos");
  return part;
}

/// The HMDB51 lists of a fold: class to file.
std::map<std::string, std::string> hmdb_lists(const std::string& splits, int64_t fold) {
  std::map<std::string, std::string> lists;
  const std::string ending = fmt::format("_test_split{}.txt", fold);
  std::error_code failed;
  for (fs::directory_iterator it(splits, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (name.size() > ending.size() && name.ends_with(ending) && name[0] != '.')
      lists[name.substr(0, name.size() - ending.size())] = it->path().string();
  }
  return lists;
}

/// Reads one class's list into the parts for training (1) and testing (2).
void read_hmdb(const std::string& videos, const std::string& list, const std::string& name,
               int64_t label, Part parts[2]) {
  for (const Line& line : read_lines(list)) {
    const auto [file, text] = cut_last(line.text);
    const int64_t use = number_of(text);
    check(!text.empty() && use >= 0 && use <= 2, line.where,
          "expected 'VIDEO.avi 0', 1 or 2, got '", line.text, "'");
    if (use == 0) continue;
    parts[use - 1].samples.push_back({video_path(videos, name, file), label});
    parts[use - 1].lines.push_back(line);
  }
}

Dataset set_of(const Part& part, const std::vector<std::string>& classes,
               const std::string& videos) {
  return {.classes = classes, .samples = part.samples, .multi_label = false, .root = videos};
}

}  // namespace

Split read_official(const std::string& videos, const std::string& splits, int64_t fold,
                    bool files_exist) {
  std::error_code failed;
  for (const std::string& folder : {videos, splits})
    check(fs::is_directory(folder, failed) || (!files_exist && folder == videos),
          "data: no such folder: ", folder);
  Part parts[2];
  std::vector<std::string> classes;
  const fs::path folder(splits);
  if (fs::exists(folder / "classInd.txt", failed)) {
    classes = ucf_classes((folder / "classInd.txt").string());
    const std::string train = (folder / fmt::format("trainlist{:02}.txt", fold)).string();
    const std::string test = (folder / fmt::format("testlist{:02}.txt", fold)).string();
    parts[0] = ucf_part(videos, train, classes, true);
    parts[1] = ucf_part(videos, test, classes, false);
  } else {
    const auto lists = hmdb_lists(splits, fold);
    check(!lists.empty(), "data: ", splits, " holds no split ", fold,
          "; expected UCF101's classInd.txt, trainlist", fmt::format("{:02}", fold),
          ".txt and testlist", fmt::format("{:02}", fold), ".txt, or HMDB51's CLASS_test_split",
          fold, ".txt");
    for (const auto& [name, list] : lists) {
      read_hmdb(videos, list, name, int64_t(classes.size()), parts);
      classes.push_back(name);
    }
    for (int i : {0, 1})
      check(!parts[i].samples.empty(), "data: split ", fold, " in ", splits, " marks no video for ",
            i ? "testing (2)" : "training (1)");
  }
  const std::string advice = "they were looked for in " + videos;
  for (const Part& part : parts)
    if (files_exist) check_files_exist(splits, part.samples, part.lines, advice);
  return {set_of(parts[0], classes, videos), set_of(parts[1], classes, videos)};
}

}  // namespace kinema::engine::video
