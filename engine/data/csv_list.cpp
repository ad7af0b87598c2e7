#include <algorithm>
#include <filesystem>
#include <map>
#include "engine/data/lists.h"
#include "engine/data/text_list.h"
#include "engine/io/text.h"
#include "kernels/base/error.h"

namespace kinema::engine::video {

namespace fs = std::filesystem;
using kernels::check;

namespace {

/// One line of a list.
struct Row {
  Line line;
  std::string path;
  std::vector<std::string> labels;
};

/// The field that begins at `at`; moves `at` behind it and its comma.
std::string field_at(const Line& line, size_t& at) {
  const std::string& s = line.text;
  std::string field;
  at = std::min(s.find_first_not_of(" \t", at), s.size());
  if (at == s.size() || s[at] != '"') {
    const size_t end = std::min(s.find(',', at), s.size());
    field = trimmed(s.substr(at, end - at));
    at = end + 1;
    return field;
  }
  for (++at;; ++at) {
    check(at < s.size(), line.where, "the quote is not closed in '", s, "'");
    if (s[at] == '"' && (at + 1 == s.size() || s[at + 1] != '"')) break;
    if (s[at] == '"') ++at;  // a doubled quote stands for one
    field += s[at];
  }
  at = std::min(s.find_first_not_of(" \t", at + 1), s.size());
  check(at == s.size() || s[at] == ',', line.where, "expected a comma behind the quote in '", s,
        "'");
  ++at;
  return field;
}

/// The two fields of a line.
std::pair<std::string, std::string> fields_of(const Line& line) {
  size_t at = 0;
  const std::string path = field_at(line, at);
  check(at <= line.text.size(), line.where, "no comma in '", line.text, "'; expected path,label");
  const std::string label = field_at(line, at);
  check(at > line.text.size(), line.where, "more than two fields in '", line.text,
        "'; expected path,label (in double quotes where a comma belongs to a field)");
  return {path, label};
}

bool is_header(const Line& line) {
  std::string text;
  for (char c : line.text)
    if (c != '"' && c != ' ') text += char(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  const size_t comma = text.find(',');
  if (comma == std::string::npos) return false;
  const std::string path = text.substr(0, comma), label = text.substr(comma + 1);
  return (path == "path" || path == "file" || path == "video") &&
         (label == "label" || label == "labels" || label == "class");
}

Row row_of(const Line& line) {
  auto [path, label] = fields_of(line);
  check(!path.empty(), line.where, "the path is empty in '", line.text, "'");
  Row row{line, path, {}};
  for (size_t at = 0; at <= label.size();) {
    const size_t end = std::min(label.find(';', at), label.size());
    row.labels.push_back(trimmed(label.substr(at, end - at)));
    const std::string& name = row.labels.back();
    check(!name.empty(), line.where, "the label is empty in '", line.text, "'");
    check(std::count(row.labels.begin(), row.labels.end(), name) == 1, line.where, "label '", name,
          "' comes twice");
    at = end + 1;
  }
  return row;
}

/// The classes that the rows name: by value where all are numbers, else in byte order.
std::vector<std::string> classes_of(const std::vector<Row>& rows) {
  std::vector<std::string> names;
  for (const Row& r : rows) names.insert(names.end(), r.labels.begin(), r.labels.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const auto is_number = [](const std::string& s) { return number_of(s) >= 0; };
  if (std::all_of(names.begin(), names.end(), is_number))
    std::stable_sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
      return number_of(a) < number_of(b);
    });
  return names;
}

/// The class of each name, and of each number where `numbers` says so and no name is that number.
std::map<std::string, int64_t> places_of(const std::vector<std::string>& classes, bool numbers) {
  std::map<std::string, int64_t> place;
  for (size_t c = 0; c < classes.size(); ++c) place[classes[c]] = int64_t(c);
  for (size_t c = 0; numbers && c < classes.size(); ++c)
    place.try_emplace(std::to_string(c), int64_t(c));
  return place;
}

Sample sample_of(const Row& row, const std::string& root, const Dataset& set,
                 const std::map<std::string, int64_t>& place) {
  Sample s;
  s.path = (fs::path(root) / row.path).lexically_normal().string();
  for (const std::string& name : row.labels) {
    const auto at = place.find(name);
    check(at != place.end(), row.line.where, "unknown label '", name, "'",
          io::suggestion(name, set.classes));
    s.labels.push_back(at->second);
  }
  check(set.multi_label || s.labels.size() == 1, row.line.where, "several labels in '",
        row.line.text, "', but the network was trained on one a video");
  std::sort(s.labels.begin(), s.labels.end());
  s.label = s.labels[0];
  if (!set.multi_label) s.labels.clear();
  return s;
}

/// Refuses a path that two lines label differently.
void check_labels_agree(const std::vector<Sample>& samples, const std::vector<Row>& rows) {
  std::map<std::string, size_t> first;
  for (size_t i = 0; i < samples.size(); ++i) {
    const size_t other = first.try_emplace(samples[i].path, i).first->second;
    check(samples[i] == samples[other], rows[i].line.where, rows[i].path,
          " has another label than in line ", rows[other].line.number,
          "; several labels of a video stand in one line, as in a;b");
  }
}

}  // namespace

Dataset read_csv(const std::string& path, const ListOptions& options) {
  std::vector<Line> lines = read_lines(path);
  if (!lines.empty() && is_header(lines[0])) lines.erase(lines.begin());
  check(!lines.empty(), "data: ", path, " lists no videos; expected lines of path,label");
  std::vector<Row> rows;
  bool several = false;
  for (const Line& line : lines) {
    rows.push_back(row_of(line));
    several = several || rows.back().labels.size() > 1;
  }
  Dataset set;
  const fs::path folder = fs::path(path).parent_path();
  set.root = !options.root.empty() ? options.root : folder.empty() ? "." : folder.string();
  set.classes = options.classes.empty() ? classes_of(rows) : options.classes;
  set.multi_label = options.multi_label.value_or(several);
  const auto place = places_of(set.classes, !options.classes.empty());
  for (const Row& row : rows) set.samples.push_back(sample_of(row, set.root, set, place));
  check_labels_agree(set.samples, rows);
  if (options.files_exist)
    check_files_exist(path, set.samples, lines, "paths count from " + set.root + " (see --root)");
  return set;
}

std::vector<std::string> read_classes(const std::string& path) {
  std::vector<std::string> classes;
  std::map<std::string, int64_t> lines;
  for (const Line& line : read_lines(path)) {
    const auto [other, is_new] = lines.try_emplace(line.text, line.number);
    check(is_new, line.where, "class '", line.text, "' stands in line ", other->second, " already");
    classes.push_back(line.text);
  }
  check(!classes.empty(), "data: ", path, " names no classes; expected one a line");
  return classes;
}

}  // namespace kinema::engine::video
