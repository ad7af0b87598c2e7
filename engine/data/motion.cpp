#include "engine/data/motion.h"
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include "engine/data/video_writer.h"
#include "engine/io/files.h"

namespace kinema::engine::video {

namespace {

namespace fs = std::filesystem;

constexpr int motion_version = 1;  // of the rendering: another one makes other clips

nlohmann::json describe(const MotionOptions& o) {
  return {{"generator", "motion"}, {"version", motion_version}, {"seed", o.seed}, {"size", o.size},
          {"frames", o.frames},    {"clips", o.clips},          {"fps", o.fps}};
}

/// Makes the folder ready: empty but for motion.json, or begun by the same options.
void prepare(const fs::path& folder, const MotionOptions& options) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  check(!failed && fs::is_directory(folder), "motion: cannot make the folder ", folder.string(),
        " (", failed ? failed.message() : "it is a file", ")");
  const fs::path about = folder / "motion.json";
  const nlohmann::json wanted = describe(options);
  if (fs::exists(about)) {
    std::ifstream in(about);
    const nlohmann::json found = nlohmann::json::parse(in, nullptr, false);
    check(found == wanted, "motion: ", folder.string(),
          " holds clips of other options; choose another folder or remove it");
  } else {
    check(fs::is_empty(folder), "motion: ", folder.string(),
          " is not empty and holds no motion.json; choose another folder");
    const fs::path part = folder / "motion.json.part";
    std::ofstream(part) << wanted.dump(2) << '\n';
    fs::rename(part, about, failed);
    check(!failed, "motion: cannot write ", about.string(), " (", failed.message(), ")");
  }
  for (const std::string& name : motion_classes()) {
    fs::create_directory(folder / name, failed);
    check(!failed, "motion: cannot make the folder ", (folder / name).string());
  }
}

void write_clip(const fs::path& path, const MotionOptions& o, int64_t label, int64_t clip) {
  const Tensor frames = render_motion(o, label, clip);
  VideoWriter writer(path.string(), o.size, o.size,
                     {.fps = o.fps, .quality = 0, .full_colour = true});
  writer.write(frames.view());
  writer.close();
}

/// "CLASS/00000.mp4".
std::string name_of_clip(int64_t label, int64_t clip) {
  char name[32];
  std::snprintf(name, sizeof(name), "/%05lld.mp4", static_cast<long long>(clip));
  return motion_classes()[size_t(label)] + name;
}

/// Under any recipe that takes whole frames of the clips' own size.
void keep_clip(FrameCache& cache, const std::string& name, const MotionOptions& o, int64_t label,
               int64_t clip) {
  const Tensor frames = render_motion(o, label, clip);
  const Recipe whole{.short_side = o.size, .height = o.size, .width = o.size};
  const bool kept =
      cache.keep(name, "", whole, o.frames, {o.size, o.size}, [&](const FrameCache::Take& take) {
        for (int64_t t = 0; t < o.frames; ++t) take(frames.view().slice(1, t, 1));
      });
  check(kept, "motion: the frames of ", name, " could not be kept");
}

/// The clips of all classes, shared out one by one; the first Error stops everybody.
class Work {
 public:
  using Make = std::function<void(int64_t label, int64_t clip)>;
  Work(const MotionOptions& options, Make make, const Progress& progress)
      : options_(options), make_(std::move(make)), progress_(progress) {}

  /// On so many threads; 0: as many as there are cores.
  void run(int threads) {
    if (threads <= 0) threads = int(std::max(1u, std::thread::hardware_concurrency()));
    std::vector<std::jthread> team;
    for (int i = 1; i < threads; ++i) team.emplace_back([this] { help(); });
    help();
    team.clear();
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  void help() try {
    for (int64_t i; (i = next_++) < all();) {
      make_(i % classes(), i / classes());
      const std::lock_guard lock(mutex_);
      if (++done_; progress_) progress_(done_, all());
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!thrown_) thrown_ = std::current_exception();
    next_ = all();
  }

  static int64_t classes() { return int64_t(motion_classes().size()); }
  int64_t all() const { return classes() * options_.clips; }

  MotionOptions options_;
  Make make_;
  const Progress& progress_;
  std::atomic<int64_t> next_ = 0;
  std::mutex mutex_;
  int64_t done_ = 0;
  std::exception_ptr thrown_;
};

}  // namespace

void generate_motion(const std::string& folder, const MotionOptions& options, int threads,
                     const Progress& progress) {
  check_motion(options);
  prepare(folder, options);
  const auto make = [&](int64_t label, int64_t clip) {
    const fs::path path = fs::path(folder) / name_of_clip(label, clip);
    if (!fs::exists(path)) write_clip(path, options, label, clip);
  };
  Work(options, make, progress).run(threads);
}

void generate_motion_frames(const std::string& folder, FrameCache& frames,
                            const MotionOptions& options, int threads, const Progress& progress) {
  check_motion(options);
  prepare(folder, options);
  const auto make = [&](int64_t label, int64_t clip) {
    keep_clip(frames, name_of_clip(label, clip), options, label, clip);
  };
  Work(options, make, progress).run(threads);
  io::write_whole(fs::path(folder) / "list.csv", [&](std::ostream& out) {
    for (int64_t label = 0; label < int64_t(motion_classes().size()); ++label)
      for (int64_t clip = 0; clip < options.clips; ++clip)
        out << name_of_clip(label, clip) << ',' << motion_classes()[size_t(label)] << '\n';
  });
}

}  // namespace kinema::engine::video
