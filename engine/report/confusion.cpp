#include "engine/report/confusion.h"
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include "engine/report/html.h"

namespace kinema::engine::report {

namespace {

constexpr int64_t most_classes = 400;  ///< drawn
constexpr int64_t most_named = 40;     ///< with a name at each row and column
constexpr int64_t most_written = 16;   ///< with counts in the cells
constexpr int64_t shades = 8;

int64_t count_of(const Confusion& c, int64_t label, int64_t predicted) {
  const auto at = c.counts.find({label, predicted});
  return at == c.counts.end() ? 0 : at->second;
}

double share(int64_t part, int64_t all) { return all ? double(part) / double(all) : 0; }

/// The cells' squares, side `cell`, as one path a shade: "r" of right ones, "w" of wrong ones.
std::string cells(const Confusion& c, double cell) {
  std::array<std::string, 2 * shades> paths;
  for (const auto& [at, count] : c.counts) {
    const auto [label, predicted] = at;
    const double part = share(count, c.videos[size_t(label)]);
    const int64_t shade = std::min(int64_t(part * shades), shades - 1);
    paths[size_t(label == predicted ? shade : shades + shade)] +=
        fmt::format("M{:g} {:g}h{:g}v{:g}h-{:g}z", double(predicted) * cell, double(label) * cell,
                    cell, cell, cell);
  }
  std::string out;
  for (size_t i = 0; i < paths.size(); ++i)
    if (!paths[i].empty())
      out += fmt::format("<path class=\"{}{}\" d=\"{}\"/>", i < shades ? 'r' : 'w', i % shades,
                         paths[i]);
  return out;
}

std::string names(const Confusion& c, double cell, double side) {
  std::string out;
  for (size_t i = 0; i < c.classes.size(); ++i) {
    const std::string name = escape(c.classes[i], 20);
    const double middle = (double(i) + 0.5) * cell;
    out += fmt::format(
        "<text class=\"end\" x=\"-6\" y=\"{0:g}\">{1}</text><text class=\"end\" "
        "transform=\"translate({2:g} {3:g}) rotate(-60)\">{1}</text>",
        middle + 4, name, middle + 4, side + 12);
  }
  return out;
}

std::string written(const Confusion& c, double cell) {
  std::string out;
  for (const auto& [at, count] : c.counts) {
    const double part = share(count, c.videos[size_t(at.first)]);
    out += fmt::format("<text class=\"mid count{}\" x=\"{:g}\" y=\"{:g}\">{}</text>",
                       part > 0.55 ? " on" : "", (double(at.second) + 0.5) * cell,
                       (double(at.first) + 0.5) * cell + 4, count);
  }
  return out;
}

/// Names and cells for the script. "<" would end the script element in a name like "</script>".
std::string data_of(const Confusion& c) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [at, count] : c.counts) {
    list.push_back(at.first);
    list.push_back(at.second);
    list.push_back(count);
  }
  nlohmann::json classes = nlohmann::json::array();
  for (const std::string& name : c.classes) classes.push_back(clean(name));
  std::string text = nlohmann::json{{"classes", classes}, {"cells", list}}.dump();
  for (size_t at = 0; (at = text.find('<', at)) != text.npos;) text.replace(at, 1, "\\u003c");
  return text;
}

}  // namespace

Confusion confusion_of(std::vector<std::string> classes, const std::vector<train::Score>& scores) {
  Confusion c{std::move(classes), {}, {}};
  std::map<std::string, int64_t> number;
  for (size_t i = 0; i < c.classes.size(); ++i) number.emplace(c.classes[i], int64_t(i));
  const auto index = [&](const std::string& name) {
    const auto [at, fresh] = number.emplace(name, int64_t(c.classes.size()));
    if (fresh) c.classes.push_back(name);
    return at->second;
  };
  for (const train::Score& s : scores) {
    const int64_t label = index(s.label), predicted = index(s.predicted);
    ++c.counts[{label, predicted}];
    c.videos.resize(c.classes.size());
    ++c.videos[size_t(label)];
  }
  c.videos.resize(c.classes.size());
  return c;
}

std::string heat_map(const Confusion& c) {
  const auto n = int64_t(c.classes.size());
  if (c.counts.empty() || n > most_classes) return "";
  const bool named = n <= most_named;
  const auto cell =
      double(named ? std::clamp<int64_t>(400 / n, 12, 44) : std::max<int64_t>(520 / n, 1));
  const double side = cell * double(n);
  // Room for names of 20 letters at 11 px.
  const double margin = named ? 150 : 26;
  std::string inside = cells(c, cell);
  if (n <= most_written) inside += written(c, cell);
  if (named) inside += names(c, cell, side);
  inside += fmt::format("<rect class=\"edge\" width=\"{0:g}\" height=\"{0:g}\"/>", side);
  if (!named)
    inside += fmt::format(
        "<text class=\"mid\" x=\"{0:g}\" y=\"{1:g}\">predicted</text><text class=\"mid\" "
        "transform=\"translate(-8 {0:g}) rotate(-90)\">label</text>",
        side / 2, side + 18);
  const double w = side + margin + 8, h = side + margin + 8;
  return fmt::format(
      "<figure class=\"heat\"><figcaption>Rows: the label; columns: what was predicted. Shades: "
      "share of the row.</figcaption><div class=\"box free\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"confusion matrix\"><svg id=\"confusion\" width=\"{:g}\" height=\"{:g}\" "
      "viewBox=\"{:g} -4 {:g} {:g}\" role=\"img\" aria-label=\"confusion matrix of {} classes\" "
      "data-cell=\"{:g}\">{}</svg></div><p class=\"note\" id=\"confusion-at\" aria-live=\"polite\">"
      "Point at a cell for its count.</p></figure>"
      "<script type=\"application/json\" id=\"confusion-data\">{}</script>\n",
      w, h, -margin, w, h, n, cell, inside, data_of(c));
}

std::string mistakes(const Confusion& c, size_t most) {
  std::vector<std::pair<int64_t, std::pair<int64_t, int64_t>>> wrong;
  for (const auto& [at, count] : c.counts)
    if (at.first != at.second) wrong.push_back({-count, at});
  if (wrong.empty()) return "";
  std::sort(wrong.begin(), wrong.end());
  Table t{.caption = "Most frequent mistakes",
          .head = {"label", "taken for", "videos", "of the label's"},
          .numbers = {false, false, true, true}};
  for (size_t i = 0; i < std::min(most, wrong.size()); ++i) {
    const auto& [count, at] = wrong[i];
    t.rows.push_back({escape(c.classes[size_t(at.first)]), escape(c.classes[size_t(at.second)]),
                      std::to_string(-count),
                      fmt::format("{:.1f}%", 100 * share(-count, c.videos[size_t(at.first)]))});
  }
  return html_of(t);
}

std::string per_class(const Confusion& c) {
  std::vector<int64_t> order;
  for (size_t i = 0; i < c.classes.size(); ++i)
    if (c.videos[i]) order.push_back(int64_t(i));
  if (order.empty()) return "";
  const auto right = [&](int64_t i) { return share(count_of(c, i, i), c.videos[size_t(i)]); };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return right(a) < right(b); });
  Table t{.caption = "Accuracy of each class",
          .head = {"class", "right", "videos", "top-1"},
          .numbers = {false, true, true, true},
          .sortable = true};
  for (const int64_t i : order)
    t.rows.push_back({escape(c.classes[size_t(i)]), std::to_string(count_of(c, i, i)),
                      std::to_string(c.videos[size_t(i)]),
                      fmt::format("<span class=\"bar\" style=\"--p:{0:.1f}%\">{0:.1f}%</span>",
                                  100 * right(i))});
  return html_of(t);
}

}  // namespace kinema::engine::report
