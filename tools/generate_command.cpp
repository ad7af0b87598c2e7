#include <fmt/format.h>
#include <cstdio>
#include <memory>
#include "engine/data/motion.h"
#include "engine/train/progress.h"
#include "tools/base/command.h"

namespace kinema::tools {

namespace {

struct Settings {
  std::string what, out, frame_cache;
  engine::video::MotionOptions motion;
  int64_t seed = 1, threads = 0;
};

int generate(const Settings& s) {
  usage(s.what == "motion", "generate: expected what to generate, 'motion', got '", s.what, "'");
  usage(!s.out.empty(), "generate: name the folder to write with --out");
  as_usage([&] { engine::video::check_motion(s.motion); });
  engine::train::ProgressLine line;
  const auto began = std::chrono::steady_clock::now();
  const auto progress = [&](int64_t done, int64_t all) {
    if (!line.due() && done < all) return;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    const double rate = double(done) / std::max(took.count(), 1e-9);
    line.show(fmt::format("generate motion: {}/{} clips  {:.1f} clips/s  ETA {}", done, all, rate,
                          engine::train::clock_text(double(all - done) / rate)));
  };
  if (s.frame_cache.empty()) {
    engine::video::generate_motion(s.out, s.motion, int(s.threads), progress);
  } else {
    engine::video::FrameCache cache(s.frame_cache, [](const std::string& text) {
      std::fprintf(stderr, "generate: warning: %s\n", text.c_str());
    });
    engine::video::generate_motion_frames(s.out, cache, s.motion, int(s.threads), progress);
  }
  line.end();
  std::printf("%s\n", fmt::format("{} classes x {} clips of {} frames, {}x{} pixels, in {}",
                                  engine::video::motion_classes().size(), s.motion.clips,
                                  s.motion.frames, s.motion.size, s.motion.size, s.out)
                          .c_str());
  return 0;
}

std::function<int()> define(Options& options) {
  auto s = std::make_shared<Settings>();
  options.add("WHAT", s->what, "what to generate: motion (12 classes of motion)");
  options.add("--out", s->out,
              "folder to write: one folder a class; new, empty or of a run that "
              "was interrupted");
  options.add("--frame-cache", s->frame_cache,
              "folder for the frames themselves, in place of videos: train with --data "
              "OUT/list.csv and this --frame-cache, without FFmpeg");
  options.add("--clips", s->motion.clips, "clips of each class", 1, most_steps);
  options.add("--frames", s->motion.frames, "frames of a clip", 2);
  options.add("--size", s->motion.size, "height and width, pixels", 16);
  options.add("--fps", s->motion.fps, "frames a second");
  options.add("--seed", s->seed, "draws all that is random");
  options.add("--threads", s->threads, "threads that draw and encode; 0: all cores", 0,
              most_threads);
  options.add_config();
  return [s] {
    s->motion.seed = uint64_t(s->seed);
    return generate(*s);
  };
}

}  // namespace

extern const Command generate_command;
const Command generate_command = {"generate", "write a data set of generated videos", define};

}  // namespace kinema::tools
