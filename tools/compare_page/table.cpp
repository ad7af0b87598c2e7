#include "tools/compare_page/table.h"
#include <fmt/format.h>
#include <map>
#include "engine/io/csv.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare_page {

namespace {

using nlohmann::json;

/// What a row's floor is made of: products or bytes.
bool bound_by_products(const Row& r) {
  return r.flop > 0 && r.floor > r.bytes / compare::best_bytes;
}

std::string number(double v) { return std::isnan(v) ? "-" : fmt::format("{:.2g}", v); }

std::string speed(const Row& r) {
  if (std::isnan(r.seconds)) return fmt::format("{:<40}", "not measured");
  const std::string rate = bound_by_products(r)
                               ? fmt::format("{:.1f} TFLOP/s", r.flop / r.seconds * 1e-12)
                               : fmt::format("{:.3f} TB/s", r.bytes / r.seconds * 1e-12);
  return fmt::format("{:>9.1f} us {:>14} {:>6} {:>5}", r.seconds * 1e6, rate,
                     std::isnan(r.share) ? "-" : fmt::format("{:.0f}%", 100 * r.share),
                     std::isnan(r.ratio) ? "-" : fmt::format("{:.2f}", r.ratio));
}

json or_null(double v) { return std::isfinite(v) ? json(v) : json(nullptr); }

json json_of(const Row& r) {
  const json ok =
      r.state == Row::State::refused ? json(nullptr) : json(r.state == Row::State::right);
  return {{"operation", r.operation},
          {"pass", r.pass},
          {"dtype", r.dtype},
          {"shape", r.shape},
          {"name", r.name},
          {"backend", r.backend},
          {"error", or_null(r.error)},
          {"bound", or_null(r.bound)},
          {"reason", r.reason},
          {"ok", ok},
          {"seconds", or_null(r.seconds)},
          {"low", or_null(r.low)},
          {"high", or_null(r.high)},
          {"flop", r.flop},
          {"bytes", r.bytes},
          {"floor", or_null(r.floor)},
          {"share", or_null(r.share)},
          {"ratio", or_null(r.ratio)},
          {"note", r.note},
          {"plan", r.plan}};
}

constexpr const char* columns[] = {
    "operation", "pass", "dtype", "shape", "name",  "backend", "ok",    "error", "bound", "reason",
    "seconds",   "low",  "high",  "flop",  "bytes", "floor",   "share", "ratio", "note",  "plan"};

}  // namespace

std::string table_head() {
  return fmt::format("{:<36} {:<5} {:<10} {:<8} {:>8} {:>8}  {:>12} {:>14} {:>6} {:>5}  {}",
                     "kernel", "type", "backend", "result", "error", "bound", "time", "rate",
                     "floor", "ratio", "shape");
}

std::string table_line(const Row& r) {
  std::string line =
      fmt::format("{:<36} {:<5} {:<10} {:<8} {:>8} {:>8}  {}  {}{}", r.operation + "." + r.pass,
                  r.dtype, r.backend, name_of(r.state), number(r.error), number(r.bound), speed(r),
                  r.shape, r.name.empty() ? "" : " (" + r.name + ")");
  if (!r.note.empty()) line += "\n    " + r.note;
  if (!r.plan.empty()) line += "\n    plan: " + r.plan;
  return line;
}

std::string table_foot(const std::vector<Row>& rows) {
  int64_t count[3] = {};
  std::map<std::string, std::pair<double, int64_t>> ratios;  // sum of logarithms, number
  for (const Row& r : rows) {
    ++count[int(r.state)];
    if (r.backend == "cudnn" || std::isnan(r.ratio)) continue;
    ratios[r.backend].first += std::log(r.ratio);
    ++ratios[r.backend].second;
  }
  std::string text = fmt::format("{} rows: {} ok, {} wrong, {} refused", rows.size(), count[0],
                                 count[1], count[2]);
  for (const auto& [backend, r] : ratios)
    text += fmt::format("; {} is {:.2f} times as fast as cudnn (geometric mean of {} rows)",
                        backend, std::exp(r.first / double(r.second)), r.second);
  return text;
}

json json_of(const std::vector<Row>& rows) {
  json all = json::array();
  for (const Row& r : rows) all.push_back(json_of(r));
  return all;
}

void write_csv(std::ostream& out, const std::vector<Row>& rows) {
  for (const char* c : columns) out << (c == columns[0] ? "" : ",") << c;
  out << '\n';
  for (const Row& r : rows) {
    const json row = json_of(r);
    for (const char* c : columns) {
      const json& value = row.at(c);
      out << (c == columns[0] ? "" : ",")
          << (value.is_null()     ? ""
              : value.is_string() ? engine::io::csv_field(value.get<std::string>())
                                  : value.dump());
    }
    out << '\n';
  }
}

}  // namespace kinema::tools::compare_page
