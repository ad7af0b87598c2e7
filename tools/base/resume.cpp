#include "tools/base/resume.h"
#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include "engine/io/files.h"

namespace kinema::tools {

namespace fs = std::filesystem;
namespace train = engine::train;
using nlohmann::json;

namespace {

/// What may be given beside --resume, since no result depends on it but for last bits, of which the
/// user is warned. The folders of videos are
/// among them because videos may have moved; check_same_data() sees to it that they are the same.
constexpr const char* free_options[] = {
    "resume",        "data",   "val",     "threads", "workers",
    "cache-mb",      "quiet",  "keep",    "config",  "checkpoint-every",
    "memory-cap-mb", "root",   "split",   "index",   "frame-cache",
    "classes",       "device", "backend", "graph"};
/// What says where the run is, not what it does.
constexpr const char* own_options[] = {"resume", "run", "config"};
constexpr const char* path_options[] = {"data",  "val",     "weights",     "root",
                                        "split", "classes", "frame-cache", "conv3d-plans"};

template <size_t n>
bool among(const std::string& key, const char* const (&keys)[n]) {
  return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
}

void check_given(const Options& options) {
  std::string fixed;
  for (const std::string& key : options.given())
    if (!among(key, free_options)) fixed += (fixed.empty() ? "--" : ", --") + key;
  usage(fixed.empty(), "--resume goes on with the options of the run; leave out ", fixed,
        ", or start a new run from its weights with --weights");
}

void warn_of_format(const train::Checkpoint& checkpoint) {
  if (checkpoint.format == train::checkpoint_format) return;
  const bool within = checkpoint.run["progress"].value("step_of_epoch", 0) > 0;
  warn(fmt::format(
      "the checkpoint has format {}, which does not say which videos it was trained on{}",
      checkpoint.format,
      within ? ", nor the sums of the epoch that has begun: its training loss and top-1 will be "
               "those of its remaining steps"
             : ""));
}

}  // namespace

int64_t ResumedRun::progress(const char* name) const {
  return checkpoint ? checkpoint->run["progress"].value(name, int64_t(0)) : 0;
}

void warn(const std::string& sentence) {
  std::fprintf(stderr, "train: warning: %s\n", sentence.c_str());
}

ResumedRun take_up(const std::string& path, Options& options) {
  check_given(options);
  ResumedRun run;
  run.folder = std::make_unique<train::RunFolder>(path);
  run.checkpoint = run.folder->newest(warn);
  run.config =
      run.checkpoint ? run.checkpoint->run : engine::io::read_json(fs::path(path) / "config.json");
  try {
    json values = run.config.at("train");
    auto given = run.config.value("given", std::vector<std::string>{});
    // What --dtype was called before there were GPUs.
    if (values.contains("precision")) values["dtype"] = values["precision"];
    std::replace(given.begin(), given.end(), std::string("precision"), std::string("dtype"));
    // Device and backends go together: who names one does not want the run's other.
    if (options.given("--device") || options.given("--backend")) {
      values.erase("device");
      values.erase("backend");
    }
    options.restore(values, given);
  } catch (const json::exception&) {
    engine::fail("resume: ", fs::path(path),
                 " has a damaged configuration; start a new run from its weights with --weights");
  }
  if (run.checkpoint) {
    warn_of_format(*run.checkpoint);
  } else {
    warn(path + " holds no checkpoint yet: the run begins anew");
  }
  return run;
}

void describe_options(const Options& options, json& config) {
  json& values = config["train"] = options.values();
  for (const char* key : own_options) values.erase(key);
  for (const char* key : path_options)
    if (values.contains(key) && values[key] != "")
      values[key] = fs::absolute(values[key].get<std::string>()).lexically_normal().string();
  std::vector<std::string> given = options.given();
  std::erase_if(given, [](const std::string& key) { return among(key, own_options); });
  config["given"] = given;
}

void check_same_data(const json& then, const json& now) {
  if (!then.contains("data")) return;  // format 1
  for (const auto& [part, videos] : now.at("data").items()) {
    const json before = then["data"].value(part, json::object());
    engine::check(before == videos, "resume: the ", part,
                  " videos are not those that the run began with (", before.value("videos", 0),
                  " then, ", videos["videos"].get<int64_t>(),
                  " now; or other names or classes); bring these back, or start a new run from its "
                  "weights with --weights");
  }
}

void warn_of_differences(const json& then, const json& now) {
  std::string differences;
  auto compare = [&](const std::string& what, const json& a, const json& b) {
    if (a.is_null() || a == b) return;
    differences += fmt::format("{}{} {} until here, now {}", differences.empty() ? "" : "; ", what,
                               a.is_string() ? a.get<std::string>() : a.dump(),
                               b.is_string() ? b.get<std::string>() : b.dump());
  };
  for (const char* key : {"device", "conv3d_plans", "threads", "instructions"})
    compare(key, then.value(key, json()), now.value(key, json()));
  for (const auto& [name, version] : now["versions"].items())
    compare(name, then.value("versions", json::object()).value(name, json()), version);
  if (!differences.empty())
    warn(differences + ": results may differ in the last bits from those of an uninterrupted run");
}

}  // namespace kinema::tools
