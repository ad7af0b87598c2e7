#include "engine/train/run_folder.h"
#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include "engine/io/files.h"

namespace kinema::engine::train {

namespace fs = std::filesystem;
using Path = fs::path;
using nlohmann::json;

namespace {

constexpr const char* metrics_header =
    "epoch,step,learning_rate,train_loss,train_top1,val_loss,val_top1,val_top5,seconds,data_wait\n";

/// An empty field where there is no number.
std::string field(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : ""; }

std::string name_of_step(int64_t step) { return fmt::format("step-{:08}.safetensors", step); }

/// The step that a checkpoint's name tells; -1 for other names.
int64_t step_of(const std::string& name) {
  if (!name.starts_with("step-") || !name.ends_with(".safetensors")) return -1;
  int64_t step = -1;
  const char* digits = name.data() + 5;
  const auto [stop, error] = std::from_chars(digits, name.data() + name.size(), step);
  return error == std::errc() && std::string_view(stop) == ".safetensors" ? step : -1;
}

/// Checkpoints in `folder`, newest first. Format 1 had none but last.safetensors, as a file.
std::vector<Path> checkpoints_in(const Path& folder) {
  std::vector<Path> all;
  std::error_code ignored;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, ignored))
    if (step_of(e.path().filename().string()) >= 0) all.push_back(e.path());
  std::sort(all.begin(), all.end(), [](const Path& a, const Path& b) {
    return step_of(a.filename().string()) > step_of(b.filename().string());
  });
  const Path last = folder / "last.safetensors";
  if (fs::exists(last, ignored) && !fs::is_symlink(last, ignored)) all.push_back(last);
  return all;
}

/// What a process that was killed leaves behind beside the run's files, and the list of broken
/// videos of one that refused to begin.
bool is_left_over(const Path& file) {
  return file.filename() == io::FolderLock::name || file.extension() == ".tmp" ||
         file.filename() == "skipped.csv";
}

bool is_free(const Path& folder) {
  return std::all_of(fs::directory_iterator(folder), fs::directory_iterator(),
                     [](const fs::directory_entry& e) { return is_left_over(e.path()); });
}

}  // namespace

RunFolder::RunFolder(const Path& path, const json& config) : path_(path), lines_(metrics_header) {
  std::error_code error;
  const bool exists = fs::exists(path, error);
  check(!exists || fs::is_directory(path), "run: ", path, " is no folder");
  check(!exists || is_free(path), "run: ", path,
        " is not empty; name another folder with --run, or go on with --resume");
  if (!exists)
    for (Path p = fs::absolute(path).lexically_normal(); !p.empty() && !fs::exists(p, error);
         p = p.parent_path())
      if (p.has_filename()) made_ = p;
  fs::create_directories(path, error);
  check(!error, "run: cannot create ", path, ": ", error.message());
  try {
    lock_ = std::make_unique<io::FolderLock>(path_);
    // Another process may have been faster.
    check(is_free(path), "run: ", path, " is not empty; name another folder with --run");
    io::write_json(path_ / "config.json", config);
  } catch (...) {
    take_away();
    throw;
  }
}

RunFolder::RunFolder(const Path& path) : path_(path), lines_(metrics_header), lasting_(true) {
  check(fs::is_directory(path), "resume: no such run folder: ", path);
  check(fs::exists(path / "config.json"), "resume: ", path,
        " holds no config.json; it is no run folder");
  lock_ = std::make_unique<io::FolderLock>(path_);
  std::error_code ignored;
  for (const fs::directory_entry& e : fs::directory_iterator(path))
    if (e.path().extension() == ".tmp") fs::remove(e.path(), ignored);
}

RunFolder::~RunFolder() {
  if (!lasting_) take_away();
}

void RunFolder::take_away() const {
  std::error_code ignored;
  if (lock_)  // else what is there is another process's
    for (const char* name : {"config.json", "metrics.csv", io::FolderLock::name})
      fs::remove(path_ / name, ignored);
  // Removes folders only as long as they are empty.
  for (Path p = fs::absolute(path_).lexically_normal(); !made_.empty(); p = p.parent_path()) {
    if (p.has_filename() && !fs::remove(p, ignored)) return;
    if (p == made_) return;
  }
}

std::optional<Checkpoint> RunFolder::newest(const Warn& warn) {
  const std::vector<Path> all = checkpoints_in(path_);
  std::vector<std::pair<Path, std::string>> damaged;
  std::optional<Checkpoint> found;
  for (const Path& file : all) {
    try {
      found = read_checkpoint(file);
      break;
    } catch (const OtherFormat&) {
      throw;
    } catch (const Error& e) {
      damaged.emplace_back(file, e.what());
    }
  }
  check(found || damaged.empty(), "resume: none of the ", damaged.size(), " checkpoints in ", path_,
        " can be read; the newest: ", damaged.empty() ? "" : damaged[0].second);
  for (const auto& [file, why] : damaged) {
    std::error_code ignored;
    fs::rename(file, file.string() + ".damaged", ignored);
    warn(why + "; it is " + file.filename().string() +
         ".damaged now, and the run goes on from the one before");
  }
  return found;
}

void RunFolder::cut_metrics(int64_t epochs, const Warn& warn) {
  std::ifstream in(path_ / "metrics.csv");
  std::string all = metrics_header;
  int64_t kept = 0;
  for (std::string line; std::getline(in, line);) {
    int64_t epoch = 0;
    std::from_chars(line.data(), line.data() + line.size(), epoch);
    if (epoch != kept + 1 || epoch > epochs) continue;  // the header, too
    all += line + "\n";
    ++kept;
  }
  if (kept < epochs)
    warn(fmt::format("metrics.csv holds {} of the {} epochs that are done", kept, epochs));
  lines_ = all;
  write("metrics.csv",
        [&] { io::write_whole(path_ / "metrics.csv", [&](std::ostream& out) { out << lines_; }); });
}

/// Runs `write`; a failure says what it means for the run.
void RunFolder::write(const char* what, const std::function<void()>& write) const {
  try {
    write();
  } catch (const Error& e) {
    check(lasting_, e.what());
    fail("run: ", what, " could not be written (", e.what(),
         "); the checkpoints before it stand: once that is mended, go on with --resume ",
         path_.string());
  }
}

void RunFolder::add(const EpochMetrics& m) {
  lines_ += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", m.epoch, m.step, field(m.learning_rate),
                        field(m.train_loss), field(m.train_top1), field(m.val_loss),
                        field(m.val_top1), field(m.val_top5), field(m.seconds), field(m.data_wait));
  write("metrics.csv",
        [&] { io::write_whole(path_ / "metrics.csv", [&](std::ostream& out) { out << lines_; }); });
}

void RunFolder::save(int64_t step, const std::vector<io::NamedValue>& tensors, const json& run) {
  const std::string name = name_of_step(step);
  write("a checkpoint", [&] { write_checkpoint(path_ / name, tensors, run); });
  lasting_ = true;
  // A file system without links has the newest under its own name alone.
  std::error_code failed;
  const Path fresh = path_ / "last.safetensors.tmp";
  fs::remove(fresh, failed);
  fs::create_symlink(name, fresh, failed);
  if (!failed) fs::rename(fresh, path_ / "last.safetensors", failed);
  forget_old_checkpoints();
}

void RunFolder::forget_old_checkpoints() const {
  const std::vector<Path> all = checkpoints_in(path_);
  std::error_code ignored;
  for (size_t i = size_t(std::max<int64_t>(keep_, 1)); i < all.size(); ++i)
    fs::remove(all[i], ignored);
}

void RunFolder::save_best(const std::vector<io::NamedValue>& tensors, const json& run) {
  write("best.safetensors", [&] { write_checkpoint(path_ / "best.safetensors", tensors, run); });
  lasting_ = true;
}

Path checkpoint_of(const Path& path) {
  if (!fs::is_directory(path)) {
    check(fs::exists(path), "checkpoint: no such file or run folder: ", path);
    return path;
  }
  for (const char* name : {"best.safetensors", "last.safetensors"})
    if (fs::exists(path / name)) return path / name;
  const std::vector<Path> all = checkpoints_in(path);
  check(!all.empty(), "checkpoint: ", path,
        " holds no best.safetensors or last.safetensors; it is no run folder");
  return all[0];
}

}  // namespace kinema::engine::train
