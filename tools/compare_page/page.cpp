#include "tools/compare_page/page.h"
#include <fmt/format.h>
#include <algorithm>
#include <functional>
#include <map>
#include "compare_page_files.h"
#include "engine/report/html.h"
#include "tools/compare/trial.h"
#include "tools/compare_page/roofline.h"

namespace kinema::tools::compare_page {

namespace {

using compare::Comparison, compare::Precision, compare::Row;
using engine::report::escape, engine::report::html_of, engine::report::section,
    engine::report::Table, engine::report::tile;

constexpr Precision precisions[] = {Precision::f32, Precision::tf32, Precision::bf16,
                                    Precision::f16};

/// FLOP a second that a row's type allows.
double flop_rate(const Row& r) {
  for (const Precision p : precisions)
    if (r.dtype == name_of(p)) return compare::best_flop(p);
  return INFINITY;
}

bool measured(const Row& r) { return r.seconds > 0; }
double share(const Row& r) { return r.floor / r.seconds; }
const char* limit(const Row& r) {
  if (!(r.floor > 0)) return "";
  return r.flop / flop_rate(r) > r.bytes / compare::best_bytes ? "FLOP" : "memory";
}

/// A number for a cell; nothing where there is none.
std::string number(double value, int digits = 4) {
  return std::isfinite(value) ? fmt::format("{:.{}g}", value, digits) : "";
}

/// Values of a column in the order in which they first appear, with how many rows have each.
std::vector<std::pair<std::string, int>> values(const Comparison& c,
                                                const std::function<std::string(const Row&)>& of) {
  std::vector<std::pair<std::string, int>> all;
  for (const Row& r : c.rows) {
    const std::string value = of(r);
    const auto found =
        std::find_if(all.begin(), all.end(), [&](auto& v) { return v.first == value; });
    if (found == all.end())
      all.emplace_back(value, 1);
    else
      ++found->second;
  }
  return all;
}

/// The place of `value` among the values of its column.
template <class Values>
int place(const Values& all, const std::string& value) {
  return int(std::find_if(all.begin(), all.end(), [&](auto& v) { return v.first == value; }) -
             all.begin());
}

double median(std::vector<double> all) {
  if (all.empty()) return NAN;
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

/// What rows have in common, in numbers.
struct Summary {
  int rows = 0, right = 0, wrong = 0, refused = 0, measured = 0;
  double worst = NAN;  ///< greatest share of its bound that an error takes
  std::vector<double> shares, ratios;

  void add(const Row& r) {
    ++rows;
    right += r.state == Row::State::right;
    wrong += r.state == Row::State::wrong;
    refused += r.state == Row::State::refused;
    if (r.bound > 0) worst = std::fmax(worst, r.error / r.bound);
    if (!compare_page::measured(r)) return;
    ++measured;
    shares.push_back(share(r));
    if (r.ratio > 0) ratios.push_back(r.ratio);
  }
  double mean_ratio() const {
    double sum = 0;
    for (const double r : ratios) sum += std::log(r);
    return ratios.empty() ? NAN : std::exp(sum / double(ratios.size()));
  }
};

std::string header(const Comparison& c) {
  Summary all;
  for (const Row& r : c.rows) all.add(r);
  std::string out = fmt::format(
      "<header><h1>kinema compare <span class=\"state {}\">{}</span></h1><p "
      "class=\"note\">{}</p>\n",
      all.wrong ? "failed" : "finished",
      all.wrong ? fmt::format("{} of {} rows wrong", all.wrong, all.rows)
                : fmt::format("{} rows right", all.right),
      escape(c.machine, 1000));
  if (!all.measured)
    out +=
        "<p class=\"missing\" id=\"not-measured\">Speed was <b>not measured</b>: it takes a GPU. "
        "Here is the correctness of the same kernels, and where an H200's limits would hold each "
        "row; no times.</p>\n";
  out += "<dl class=\"tiles\">";
  out += tile("rows", std::to_string(all.rows), fmt::format("{} refused", all.refused));
  out += tile("right", std::to_string(all.right));
  out += tile("wrong", std::to_string(all.wrong));
  out += tile("greatest error", number(all.worst, 2), "of its bound");
  if (!all.shares.empty())
    out += tile("share of the limit", fmt::format("{:.0f}%", 100 * median(all.shares)), "median");
  out += tile("speed / cuDNN's", number(all.mean_ratio(), 3),
              fmt::format("geometric mean of {}", all.ratios.size()));
  return out + "</dl></header>\n";
}

/// What is wrong, first of all.
std::string faults(const Comparison& c) {
  constexpr size_t most = 50;
  Table t{.caption = "Rows that are wrong",
          .head = {"row", "backend", "error", "bound", "what"},
          .numbers = {false, false, true, true, false}};
  size_t count = 0;
  for (const Row& r : c.rows) {
    if (r.state != Row::State::wrong || ++count > most) continue;
    t.rows.push_back({escape(r.operation + "." + r.pass + " " + r.dtype + " " + r.shape),
                      escape(r.backend), number(r.error), number(r.bound),
                      escape(r.note.empty() ? r.reason : r.note)});
  }
  if (!count) return "";
  return html_of(t) + (count > most ? fmt::format("<p class=\"note\">and {} more</p>", count - most)
                                    : std::string());
}

struct Columns {
  std::vector<std::pair<std::string, int>> backends, dtypes;
};

/// Marks of one plot: those with products against their intensity, or those without against their
/// bytes.
std::vector<Mark> marks(const Comparison& c, const Columns& columns, bool products) {
  std::vector<Mark> all;
  const bool timed = std::any_of(c.rows.begin(), c.rows.end(), measured);
  for (size_t i = 0; i < c.rows.size(); ++i) {
    const Row& r = c.rows[i];
    const double seconds = measured(r) ? r.seconds : r.floor;
    const bool open = !measured(r);
    if ((r.flop > 0) != products || r.bytes <= 0 || !(seconds > 0)) continue;
    // Limits stand for times where there are none at all; without products they are all the same.
    if (open && (timed || !products || r.state == Row::State::refused)) continue;
    all.push_back({.row = i,
                   .x = products ? r.flop / r.bytes : r.bytes,
                   .y = (products ? r.flop : r.bytes) / seconds,
                   .colour = place(columns.backends, r.backend),
                   .shape = place(columns.dtypes, r.dtype),
                   .open = open,
                   .wrong = r.state == Row::State::wrong});
  }
  // What is wrong lies on top.
  std::stable_partition(all.begin(), all.end(), [](const Mark& m) { return !m.wrong; });
  return all;
}

std::string legend(const Columns& columns, bool open) {
  std::string out = "<p class=\"keys\">";
  for (size_t i = 0; i < columns.backends.size(); ++i)
    out += fmt::format("<span>{}{}</span>", symbol(0, int(i)), escape(columns.backends[i].first));
  out += "<span class=\"gap\"></span>";
  for (size_t i = 0; i < columns.dtypes.size(); ++i)
    out += fmt::format("<span>{}{}</span>", symbol(int(i), 9), escape(columns.dtypes[i].first));
  if (open) out += "<span class=\"gap\"></span><span>hollow: its limit, not measured</span>";
  return out + "</p>\n";
}

std::string plots(const Comparison& c, const Columns& columns) {
  const std::string memory = fmt::format("memory, {}B/s", with_prefix(compare::best_bytes));
  Plot roofline{.title = "Roofline: rows with products",
                .x_name = "FLOP per byte that must move",
                .y_name = "FLOP/s",
                .roofs = {{compare::best_bytes, true, memory}},
                .marks = marks(c, columns, true)};
  std::map<double, std::string> rates;
  for (const Precision p : precisions) {
    if (place(columns.dtypes, name_of(p)) == int(columns.dtypes.size())) continue;
    std::string& names = rates[compare::best_flop(p)];
    names += (names.empty() ? "" : ", ") + std::string(name_of(p));
  }
  for (const auto& [rate, names] : rates)
    roofline.roofs.push_back({rate, false, fmt::format("{}: {}FLOP/s", names, with_prefix(rate))});
  const Plot bandwidth{.title = "Bandwidth: rows that memory alone can bind",
                       .x_name = "bytes that must move",
                       .y_name = "bytes/s",
                       .roofs = {{compare::best_bytes, false, memory}},
                       .marks = marks(c, columns, false)};
  const bool open = std::any_of(roofline.marks.begin(), roofline.marks.end(),
                                [](const Mark& m) { return m.open; });
  const std::string drawn = svg_of(roofline) + svg_of(bandwidth);
  return drawn.empty() ? "" : legend(columns, open) + drawn;
}

std::string filters(const Comparison& c) {
  std::string out =
      "<form id=\"filters\" aria-label=\"Filters\"><p class=\"note\">None chosen of a kind: all of "
      "it is shown.</p>\n";
  const auto group = [&](const char* name, const std::function<std::string(const Row&)>& of) {
    const auto all = values(c, of);
    if (all.size() < 2) return;
    out += fmt::format("<fieldset data-column=\"{0}\"><legend>{0}</legend>", name);
    for (const auto& [value, count] : all)
      out += fmt::format(
          "<label><input type=\"checkbox\" value=\"{0}\"><span>{0} <small>{1}</small></span>"
          "</label>",
          escape(value), count);
    out += "</fieldset>\n";
  };
  group("verdict", [](const Row& r) { return std::string(name_of(r.state)); });
  group("operation", [](const Row& r) { return r.operation; });
  group("pass", [](const Row& r) { return r.pass; });
  group("dtype", [](const Row& r) { return r.dtype; });
  group("backend", [](const Row& r) { return r.backend; });
  return out +
         "<p><label>text <input type=\"search\" id=\"search\" autocomplete=\"off\"></label> "
         "<button type=\"reset\">show all</button> <output id=\"shown\"></output></p></form>\n";
}

/// One column of the table of all rows.
struct Column {
  const char* name;
  bool number;
  std::function<std::string(const Row&)> cell;  ///< HTML
};

std::vector<Column> columns_of(const Comparison& c) {
  std::vector<Column> all;
  const auto text = [](auto member) {
    return [member](const Row& r) { return escape(r.*member); };
  };
  const auto value = [](auto of) { return [of](const Row& r) { return number(of(r)); }; };
  const auto any = [&](auto has) { return std::any_of(c.rows.begin(), c.rows.end(), has); };
  const auto add_text = [&](const char* name, std::string Row::*member) {
    if (any([=](const Row& r) { return !(r.*member).empty(); }))
      all.push_back({name, false, text(member)});
  };
  all = {
      {"verdict", false,
       [](const Row& r) {
         constexpr const char* kinds[] = {"right", "wrong", "refused"};
         return fmt::format("<b class=\"{}\">{}</b>", kinds[int(r.state)], name_of(r.state));
       }},
      {"operation", false, text(&Row::operation)},
      {"pass", false, text(&Row::pass)},
      {"dtype", false, text(&Row::dtype)},
      {"shape", false, text(&Row::shape)},
      {"backend", false, text(&Row::backend)},
      {"error", true, value([](const Row& r) { return r.error; })},
      {"bound", true, value([](const Row& r) { return r.bound; })},
  };
  if (any(measured)) {
    const auto rate = [](const Row& r, double amount) {
      return amount > 0 ? amount / r.seconds * 1e-12 : NAN;
    };
    all.push_back({"us", true, value([](const Row& r) { return r.seconds * 1e6; })});
    all.push_back({"10..90 %", true, [](const Row& r) {
                     return std::isfinite(r.low)
                                ? fmt::format("{:.4g} .. {:.4g}", r.low * 1e6, r.high * 1e6)
                                : std::string();
                   }});
    all.push_back({"TFLOP/s", true, value([=](const Row& r) { return rate(r, r.flop); })});
    all.push_back({"TB/s", true, value([=](const Row& r) { return rate(r, r.bytes); })});
    all.push_back({"% of limit", true, value([](const Row& r) { return 100 * share(r); })});
    all.push_back({"speed / cuDNN's", true, value([](const Row& r) { return r.ratio; })});
  }
  all.push_back({"limit us", true, value([](const Row& r) { return r.floor * 1e6; })});
  all.push_back({"limit by", false, [](const Row& r) { return std::string(limit(r)); }});
  all.push_back({"FLOP/B", true, value([](const Row& r) {
                   return r.flop > 0 && r.bytes > 0 ? r.flop / r.bytes : NAN;
                 })});
  add_text("layer", &Row::name);
  add_text("why this bound", &Row::reason);
  add_text("note", &Row::note);
  if (any([](const Row& r) { return !r.plan.empty(); }))
    all.push_back({"plan", false, [](const Row& r) {
                     return r.plan.empty() ? std::string()
                                           : fmt::format(
                                                 "<details><summary>plan</summary><pre>{}"
                                                 "</pre></details>",
                                                 escape(r.plan, 4000));
                   }});
  return all;
}

std::string rows(const Comparison& c) {
  Table t{.caption = "All rows: a heading sorts, a mark of the plot leads here", .sortable = true};
  const std::vector<Column> all = columns_of(c);
  for (const Column& column : all) {
    t.head.push_back(column.name);
    t.numbers.push_back(column.number);
  }
  for (const Row& r : c.rows) {
    std::vector<std::string>& row = t.rows.emplace_back();
    for (const Column& column : all) row.push_back(column.cell(r));
  }
  return html_of(t);
}

std::string by_operation(const Comparison& c) {
  std::map<std::pair<std::string, std::string>, Summary> all;
  bool timed = false;
  for (const Row& r : c.rows) {
    all[{r.operation + "." + r.pass, r.backend}].add(r);
    timed = timed || measured(r);
  }
  Table t{.caption = "Each pass by its backends",
          .head = {"pass", "backend", "rows", "right", "wrong", "refused", "error / bound"},
          .numbers = {false, false, true, true, true, true, true, true, true},
          .sortable = true};
  if (timed) t.head.insert(t.head.end(), {"median % of limit", "speed / cuDNN's"});
  for (const auto& [key, s] : all) {
    t.rows.push_back({escape(key.first), escape(key.second), std::to_string(s.rows),
                      std::to_string(s.right), std::to_string(s.wrong), std::to_string(s.refused),
                      number(s.worst, 2)});
    if (!timed) continue;
    t.rows.back().push_back(number(100 * median(s.shares), 3));
    t.rows.back().push_back(number(s.mean_ratio(), 3));
  }
  return html_of(t);
}

std::string made(const Comparison& c) {
  Table t{.caption = "How this was made", .head = {"what", "value"}};
  t.rows.push_back({"command", escape(c.command, 2000)});
  t.rows.push_back({"machine", escape(c.machine, 1000)});
  t.rows.push_back({"limits", fmt::format("an H200's: memory {}B/s; f32 {}, tf32 {}, bf16 and f16 "
                                          "{}FLOP/s",
                                          with_prefix(compare::best_bytes),
                                          with_prefix(compare::best_flop(Precision::f32)),
                                          with_prefix(compare::best_flop(Precision::tf32)),
                                          with_prefix(compare::best_flop(Precision::bf16)))});
  for (const auto& [name, value] : c.versions) t.rows.push_back({escape(name), escape(value)});
  return html_of(t);
}

}  // namespace

std::string page_of(const Comparison& c) {
  const Columns columns{values(c, [](const Row& r) { return r.backend; }),
                        values(c, [](const Row& r) { return r.dtype; })};
  const std::string body = header(c) + section("faults", "Wrong rows", faults(c)) +
                           section("roofline", "Roofline", filters(c) + plots(c, columns)) +
                           section("rows", "Rows", rows(c)) +
                           section("passes", "Passes", by_operation(c)) +
                           section("made", "Made by", made(c));
  return engine::report::page("kinema compare", body, page_css, page_js);
}

}  // namespace kinema::tools::compare_page
