#include "engine/report/run_log.h"
#include <algorithm>
#include "engine/io/files.h"
#include "engine/report/page.h"

namespace kinema::engine::report {

namespace fs = std::filesystem;

namespace {

constexpr double most_share = 0.05;  ///< of the run's time that the page may take
constexpr double page_seconds = 60;  ///< from one page to the next within an epoch

constexpr const char* files[] = {"steps.csv", "evaluation.csv", "status.json", "report.html"};

bool has_checkpoint(const fs::path& folder) {
  std::error_code error;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, error))
    if (e.path().extension() == ".safetensors") return true;
  return false;
}

}  // namespace

RunLog::RunLog(const Run& run, Status status, Warn warn)
    : run_(run), status_(std::move(status)), warn_(std::move(warn)) {
  status_.state = "running";
  status_.began = status_.updated = time_text();
  attempt("status.json", [&] {
    // A run that goes on began when its first part did.
    if (run_.done > 0 && fs::exists(run_.folder / "status.json"))
      status_.began = io::read_json(run_.folder / "status.json").value("began", status_.began);
    io::write_json(run_.folder / "status.json", status_);
  });
  attempt("steps.csv", [&] { steps_.emplace(run_.folder / "steps.csv", run_.done); });
  attempt("events", [&] { events_.emplace(run_.folder, run_.done, run_.network, run_.arena); });
}

/// Runs `work`; the first failure is a warning, later ones are silent.
void RunLog::attempt(const char* what, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& e) {
    if (!warned_)
      warn_(std::string("the record of the run is incomplete: ") + what + ": " + e.what());
    warned_ = true;
  }
}

void RunLog::after_step(const train::StepMetrics& step) {
  if (steps_) attempt("steps.csv", [&] { steps_->after_step(step); });
  if (events_) attempt("events", [&] { events_->after_step(step); });
  const double since = std::chrono::duration<double>(Clock::now() - written_).count();
  if (since >= page_seconds) write_page(false);
}

void RunLog::after_epoch(const train::EpochMetrics& epoch, const train::Evaluation* evaluation) {
  if (events_) attempt("events", [&] { events_->after_epoch(epoch, evaluation); });
  if (!evaluation) return;
  attempt("evaluation.csv", [&] {
    train::write_scores(run_.folder / "evaluation.csv", *evaluation, run_.held_out, false);
  });
  write_page(false);
}

void RunLog::write_page(bool last) {
  const auto began = Clock::now();
  const double since = std::chrono::duration<double>(began - written_).count();
  if (!last && cost_ > most_share * since) return;
  status_.updated = time_text();
  attempt("report.html", [&] {
    io::write_json(run_.folder / "status.json", status_);
    write_report(run_.folder);
  });
  written_ = Clock::now();
  cost_ = std::chrono::duration<double>(written_ - began).count();
}

train::TrainResult RunLog::watch(const std::function<train::TrainResult()>& train) {
  try {
    const train::TrainResult result = train();
    finish(result.interrupted ? "interrupted" : "finished", "");
    return result;
  } catch (const std::exception& e) {
    finish("failed", e.what());
    throw;
  }
}

void RunLog::finish(const std::string& state, const std::string& reason) {
  status_.state = state;
  status_.reason = reason;
  if (state == "failed" && !has_checkpoint(run_.folder)) return take_away();
  write_page(true);
}

void RunLog::take_away() {
  std::error_code ignored;
  for (const char* name : files) fs::remove(run_.folder / name, ignored);
  if (events_) {
    const fs::path path = events_->path();
    events_.reset();
    fs::remove(path, ignored);
  }
}

}  // namespace kinema::engine::report
