#include "engine/train/run_folder.h"
#include <fmt/format.h>
#include <cmath>
#include <ostream>
#include "engine/io/files.h"

namespace kinema::engine::train {

using Path = std::filesystem::path;
using nlohmann::json;

namespace {
/// An empty field where there is no number.
std::string field(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : ""; }
}  // namespace

void write_checkpoint(const Path& path, const std::vector<io::NamedValue>& tensors,
                      const json& run) {
  io::write_safetensors(path, tensors,
                        {{"format", std::to_string(checkpoint_format)}, {"run", run.dump()}});
}

Checkpoint read_checkpoint(const Path& path) {
  Checkpoint c{io::read_safetensors(path), {}};
  const auto format = c.tensors.metadata.find("format");
  const auto run = c.tensors.metadata.find("run");
  check(format != c.tensors.metadata.end() && run != c.tensors.metadata.end(), "checkpoint: \"",
        path.string(),
        "\" holds weights without the description of their network; give that network's run folder "
        "with --run");
  check(format->second == std::to_string(checkpoint_format), "checkpoint: \"", path.string(),
        "\" has format ", format->second, "; this program reads format ", checkpoint_format);
  c.run = json::parse(run->second, nullptr, false);
  check(c.run.is_object(), "checkpoint: \"", path.string(), "\" has a damaged description");
  return c;
}

RunFolder::RunFolder(const Path& path, const json& config) : path_(path) {
  std::error_code error;
  const bool exists = std::filesystem::exists(path, error);
  check(!exists || std::filesystem::is_directory(path), "run: ", path, " is no folder");
  check(!exists || std::filesystem::is_empty(path), "run: ", path,
        " is not empty; name another folder with --run");
  if (!exists)
    for (Path p = std::filesystem::absolute(path).lexically_normal();
         !p.empty() && !std::filesystem::exists(p, error); p = p.parent_path())
      if (p.has_filename()) made_ = p;
  std::filesystem::create_directories(path, error);
  check(!error, "run: cannot create ", path, ": ", error.message());
  lines_ =
      "epoch,step,learning_rate,train_loss,train_top1,val_loss,val_top1,val_top5,seconds,"
      "data_wait\n";
  try {
    io::write_json(path_ / "config.json", config);
  } catch (...) {
    if (!made_.empty()) std::filesystem::remove_all(made_, error);
    throw;
  }
}

RunFolder::~RunFolder() {
  if (saved_) return;
  std::error_code ignored;
  std::filesystem::remove(path_ / "config.json", ignored);
  std::filesystem::remove(path_ / "metrics.csv", ignored);
  // Removes folders only as long as they are empty.
  for (Path p = std::filesystem::absolute(path_).lexically_normal(); !made_.empty();
       p = p.parent_path()) {
    if (p.has_filename() && !std::filesystem::remove(p, ignored)) return;
    if (p == made_) return;
  }
}

void RunFolder::add(const EpochMetrics& m) {
  lines_ += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", m.epoch, m.step, field(m.learning_rate),
                        field(m.train_loss), field(m.train_top1), field(m.val_loss),
                        field(m.val_top1), field(m.val_top5), field(m.seconds), field(m.data_wait));
  io::write_whole(path_ / "metrics.csv", [&](std::ostream& out) { out << lines_; });
}

void RunFolder::save(const std::string& name, const std::vector<io::NamedValue>& tensors,
                     const json& run) {
  write_checkpoint(path_ / (name + ".safetensors"), tensors, run);
  saved_ = true;
}

Path checkpoint_of(const Path& path) {
  if (!std::filesystem::is_directory(path)) {
    check(std::filesystem::exists(path), "checkpoint: no such file or run folder: ", path);
    return path;
  }
  for (const char* name : {"best.safetensors", "last.safetensors"})
    if (std::filesystem::exists(path / name)) return path / name;
  fail("checkpoint: ", path, " holds no best.safetensors or last.safetensors; it is no run folder");
}

}  // namespace kinema::engine::train
