#include "engine/report/run_data.h"
#include <fmt/chrono.h>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include "engine/io/csv.h"
#include "engine/io/files.h"
#include "engine/report/html.h"
#include "engine/train/step_log.h"

namespace kinema::engine::report {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t most_skipped = 200;

/// Runs `read` on the file, if it is there. What cannot be read is left out of the page: a file of
/// a run that goes on, or one that a crash cut short, must not cost the rest.
template <class Read>
void try_read(const fs::path& path, const Read& read) {
  std::error_code error;
  if (!fs::exists(path, error)) return;
  try {
    read(path);
  } catch (const std::exception&) {
  }
}

void read_metrics(const fs::path& path, RunData& run) {
  std::ifstream in(path, std::ios::binary);
  io::CsvReader lines(in, "metrics");
  std::vector<std::string> head, f;
  if (!lines.next(head)) return;
  while (lines.next(f) && f.size() == head.size())
    for (size_t i = 0; i < f.size(); ++i)
      run.epochs[head[i]].push_back(f[i].empty() ? NAN : std::atof(f[i].c_str()));
}

void read_step_log(const fs::path& path, RunData& run) {
  train::read_steps(path, [&](const train::LoggedStep& s) {
    const auto step = double(s.metrics.step);
    ++run.steps;
    run.seconds = s.seconds;
    run.wait += s.metrics.data_wait;
    run.memory = std::max(run.memory, double(s.metrics.memory));
    run.loss.add(step, s.metrics.loss);
    run.rate.add(step, s.metrics.learning_rate);
    run.norm.add(step, s.metrics.gradient_norm);
    run.speed.add(step, s.metrics.clips_per_second);
    run.wait_curve.add(s.seconds, s.metrics.data_wait);
    run.memory_curve.add(s.seconds, double(s.metrics.memory));
  });
}

void read_skipped(const fs::path& path, RunData& run) {
  std::ifstream in(path, std::ios::binary);
  io::CsvReader lines(in, "skipped");
  for (std::vector<std::string> f; lines.next(f); ++run.skipped_lines)
    if (run.skipped.size() <= most_skipped) run.skipped.push_back(f);
  run.skipped_lines = std::max<int64_t>(run.skipped_lines - 1, 0);  // the header
}

}  // namespace

void to_json(json& j, const Status& s) {
  j = {{"state", s.state},          {"reason", clean(s.reason)},   {"began", s.began},
       {"updated", s.updated},      {"command", clean(s.command)}, {"machine", clean(s.machine)},
       {"folder", clean(s.folder)}, {"epochs", s.epochs}};
}

void from_json(const json& j, Status& s) {
  s.state = j.value("state", s.state);
  s.reason = j.value("reason", s.reason);
  s.began = j.value("began", s.began);
  s.updated = j.value("updated", s.updated);
  s.command = j.value("command", s.command);
  s.machine = j.value("machine", s.machine);
  s.folder = j.value("folder", s.folder);
  s.epochs = j.value("epochs", s.epochs);
}

std::string time_text() {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::time(nullptr)));
}

double RunData::last(const std::string& column) const {
  const auto found = epochs.find(column);
  if (found == epochs.end()) return NAN;
  for (size_t i = found->second.size(); i-- > 0;)
    if (std::isfinite(found->second[i])) return found->second[i];
  return NAN;
}

RunData read_run(const fs::path& folder) {
  RunData run;
  check(fs::is_directory(folder), "report: no such run folder: ", folder);
  const fs::path config = folder / "config.json";
  check(fs::exists(config), "report: ", folder, " holds no config.json; it is no run folder");
  run.config = io::read_json(config);
  check(run.config.is_object(), "report: ", config, " is no configuration of a run");
  try_read(folder / "status.json", [&](const fs::path& p) { io::read_json(p).get_to(run.status); });
  try_read(folder / "metrics.csv", [&](const fs::path& p) { read_metrics(p, run); });
  try_read(folder / "steps.csv", [&](const fs::path& p) { read_step_log(p, run); });
  try_read(folder / "evaluation.csv",
           [&](const fs::path& p) { run.scores = train::read_scores(p); });
  try_read(folder / "skipped.csv", [&](const fs::path& p) { read_skipped(p, run); });
  return run;
}

}  // namespace kinema::engine::report
