#include "engine/report/page.h"
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numeric>
#include "engine/data/thumbnail.h"
#include "engine/io/files.h"
#include "engine/report/confusion.h"
#include "engine/report/html.h"
#include "engine/train/progress.h"

namespace kinema::engine::report {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t clips_of_a_kind = 12;

std::string percent(double share) {
  return std::isfinite(share) ? fmt::format("{:.1f}%", 100 * share) : "";
}

std::string title_of(const RunData& run) {
  return run.config.value("model", std::string("network")) + ": " + run.status.state;
}

/// What the columns of metrics.csv are called (see train/metrics.h).
struct Names {
  const char *train_top1, *val_top1, *val_top5;
};
Names names_of(const RunData& run) {
  if (run.config.value("multi_label", false))
    return {"training hit@1", "validation mAP", "validation hit@1"};
  return {"training top-1", "validation top-1", "validation top-5"};
}

std::string tiles(const RunData& run) {
  const auto column = [&](const char* name) {
    const auto found = run.epochs.find(name);
    return found == run.epochs.end() ? std::vector<double>{} : found->second;
  };
  const std::vector<double> top1 = column("val_top1");
  double best = NAN;
  size_t best_epoch = 0;
  for (size_t i = 0; i < top1.size(); ++i)
    if (top1[i] > best || (std::isnan(best) && std::isfinite(top1[i]))) {
      best = top1[i];
      best_epoch = i + 1;
    }
  const auto loss = [&](const char* name) {
    return std::isfinite(run.last(name)) ? fmt::format("{:.4f}", run.last(name)) : "";
  };
  const std::string of =
      run.status.epochs ? fmt::format("of {}", run.status.epochs) : std::string();
  const Names names = names_of(run);
  std::string out = tile(names.val_top1, percent(best), fmt::format("best, epoch {}", best_epoch));
  out += tile(names.val_top1, percent(run.last("val_top1")), "last");
  out += tile(names.val_top5, percent(run.last("val_top5")), "last");
  out += tile("validation loss", loss("val_loss"));
  out += tile("training loss", loss("train_loss"));
  out += tile("epochs", std::to_string(column("epoch").size()), of);
  if (!run.steps) return out;
  out += tile("steps", std::to_string(run.steps));
  out += tile("time", train::clock_text(run.seconds));
  out += tile("data wait", percent(run.seconds > 0 ? run.wait / run.seconds : 0), "of the time");
  return out + tile("peak memory", short_number(run.memory, Unit::bytes));
}

/// A curve over epochs from a column of metrics.csv.
Curve epoch_curve(const RunData& run, const std::string& name, const std::string& column) {
  Curve c(name);
  const auto x = run.epochs.find("epoch"), y = run.epochs.find(column);
  if (x == run.epochs.end() || y == run.epochs.end()) return c;
  for (size_t i = 0; i < y->second.size(); ++i) c.add(x->second[i], y->second[i]);
  return c;
}

std::string charts(const RunData& run) {
  const auto by_epoch = [&](const char* name, const char* column) {
    return epoch_curve(run, name, column);
  };
  const Names names = names_of(run);
  std::string out;
  out +=
      svg_of({.title = "Loss",
              .x_name = "epoch",
              .curves = {by_epoch("training", "train_loss"), by_epoch("validation", "val_loss")}});
  out += svg_of(
      {.title = "Accuracy",
       .x_name = "epoch",
       .unit = Unit::percent,
       .curves = {by_epoch(names.train_top1, "train_top1"), by_epoch(names.val_top1, "val_top1"),
                  by_epoch(names.val_top5, "val_top5")},
       .from_zero = true});
  out += svg_of({.title = "Loss of each step", .x_name = "step", .curves = {run.loss}});
  out +=
      svg_of({.title = "Learning rate", .x_name = "step", .curves = {run.rate}, .from_zero = true});
  out +=
      svg_of({.title = "Gradient norm", .x_name = "step", .curves = {run.norm}, .from_zero = true});
  out += svg_of(
      {.title = "Clips a second", .x_name = "step", .curves = {run.speed}, .from_zero = true});
  out += svg_of({.title = "Data wait of a step",
                 .x_name = "time",
                 .unit = Unit::seconds,
                 .curves = {run.wait_curve},
                 .from_zero = true,
                 .x_unit = Unit::seconds});
  out += svg_of({.title = "Memory",
                 .x_name = "time",
                 .unit = Unit::bytes,
                 .curves = {run.memory_curve},
                 .from_zero = true,
                 .x_unit = Unit::seconds});
  return out.empty() ? "" : "<div class=\"charts\">" + out + "</div>\n";
}

/// The moving thumbnail of a video, or a line that says why there is none.
std::string picture(const train::Score& s, const RunData& run, const video::Recipe& recipe) {
  const fs::path path = fs::path(run.status.folder) / s.path;
  try {
    return fmt::format("<img alt=\"frames of {}\" src=\"data:image/gif;base64,{}\">",
                       escape(path.filename().string()),
                       base64(video::thumbnail(path.string(), recipe)));
  } catch (const std::exception& e) {
    return fmt::format("<p class=\"gone\" title=\"{}\">cannot be shown</p>", escape(e.what()));
  }
}

/// A class name that may break behind its underscores.
std::string label_of(const std::string& name) {
  std::string out = escape(name, 60);
  for (size_t at = 0; (at = out.find('_', at)) != out.npos; at += 6) out.insert(at + 1, "<wbr>");
  return out;
}

std::string card(const train::Score& s, const RunData& run, const video::Recipe& recipe) {
  const std::string verdict = s.correct()
                                  ? fmt::format("<b class=\"right\">{}</b>", label_of(s.label))
                                  : fmt::format("<b>{}</b><br>taken for <b class=\"wrong\">{}</b>",
                                                label_of(s.label), label_of(s.predicted));
  return fmt::format(
      "<li>{}<p>{}<br><span class=\"figures\">p {:.3f} · loss {:.3f}</span><br>"
      "<span class=\"path\" title=\"{}\">{}</span></p></li>\n",
      picture(s, run, recipe), verdict, s.probability, s.loss, escape(s.path),
      escape(fs::path(s.path).filename().string(), 60));
}

std::string clips(const RunData& run, bool worst) {
  std::vector<const train::Score*> order;
  for (const train::Score& s : run.scores)
    if (s.correct() != worst || worst) order.push_back(&s);
  // What is no number ranks as the worst.
  const auto loss = [](const train::Score* s) {
    return std::isfinite(s->loss) ? s->loss : INFINITY;
  };
  std::stable_sort(order.begin(), order.end(), [&](const train::Score* a, const train::Score* b) {
    return worst ? loss(a) > loss(b) : loss(a) < loss(b);
  });
  order.resize(std::min(order.size(), clips_of_a_kind));
  if (order.empty()) return "";
  video::Recipe recipe;
  if (run.config.contains("recipe")) run.config["recipe"].get_to(recipe);
  std::string out = "<ul class=\"clips\">\n";
  for (const train::Score* s : order) out += card(*s, run, recipe);
  return out + "</ul>\n";
}

/// Each value in `j` by its dotted path; long lists by their length.
void flatten(const json& j, const std::string& path, Table& to) {
  if (j.is_object() && !j.empty()) {
    for (const auto& [key, value] : j.items())
      flatten(value, path.empty() ? key : path + "." + key, to);
    return;
  }
  const std::string text = j.is_array() && j.size() > 20 ? fmt::format("{} entries", j.size())
                           : j.is_string()               ? j.get<std::string>()
                                           : j.dump(-1, ' ', false, json::error_handler_t::replace);
  to.rows.push_back({escape(path), escape(text)});
}

std::string configuration(const RunData& run) {
  Table how{.caption = "How the run was made", .head = {"what", "value"}};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) how.rows.push_back({name, escape(value, 2000)});
  };
  add("command", run.status.command);
  add("machine", run.status.machine);
  add("began", run.status.began);
  add("last written", run.status.updated);
  json rest = run.config;
  for (const char* key : {"versions", "threads"}) {
    if (rest.contains(key)) flatten(rest[key], key, how);
    rest.erase(key);
  }
  Table options{.caption = "Options", .head = {"option", "value"}};
  flatten(rest, "", options);
  return "<div class=\"pair\">" + html_of(how) + html_of(options) + "</div>";
}

std::string skipped(const RunData& run) {
  if (run.skipped.size() < 2) return "";
  Table t{.caption = "Files that were passed over"};
  t.head = run.skipped[0];
  for (size_t i = 1; i < run.skipped.size(); ++i) {
    std::vector<std::string>& row = t.rows.emplace_back();
    for (const std::string& field : run.skipped[i]) row.push_back(escape(field));
  }
  std::string out = html_of(t);
  if (run.skipped_lines > int64_t(t.rows.size()))
    out += fmt::format("<p class=\"note\">the first {} of {}; all stand in skipped.csv</p>",
                       t.rows.size(), run.skipped_lines);
  return out;
}

std::string classes(const RunData& run) {
  const Confusion confusion =
      confusion_of(run.config.value("classes", std::vector<std::string>{}), run.scores);
  return "<div class=\"pair\">" + heat_map(confusion) + "<div>" + mistakes(confusion) +
         per_class(confusion) + "</div></div>";
}

std::string header(const RunData& run) {
  const std::string reason = run.status.reason.empty()
                                 ? ""
                                 : fmt::format("<p class=\"reason\" role=\"alert\">{}</p>",
                                               escape(run.status.reason, 2000));
  return fmt::format(
      "<header><h1>{} <span class=\"state {}\">{}</span></h1>{}<p class=\"note\">began {} · last "
      "written {}</p>\n<dl class=\"tiles\">{}</dl></header>\n",
      escape(run.config.value("model", std::string("network"))), escape(run.status.state),
      escape(run.status.state), reason, escape(run.status.began), escape(run.status.updated),
      tiles(run));
}

}  // namespace

std::string page_of(const RunData& run) {
  std::string body = header(run);
  body += section("curves", "Curves", charts(run));
  if (!run.scores.empty()) {
    // Which class a video of several was taken for is no question of a matrix.
    if (!run.config.value("multi_label", false))
      body += section("classes", "Classes", classes(run));
    body += section("worst", "Worst clips", clips(run, true));
    body += section("best", "Best clips", clips(run, false));
  }
  body += section("skipped", "Skipped files", skipped(run));
  body += section("configuration", "Configuration", configuration(run));
  return page(title_of(run), body);
}

void write_report(const fs::path& folder) {
  const std::string text = page_of(read_run(folder));
  io::write_whole(folder / "report.html", [&](std::ostream& out) { out << text; });
}

}  // namespace kinema::engine::report
