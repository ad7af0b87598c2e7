#include "tools/base/score_video.h"
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <numeric>
#include "engine/data/score_overlay.h"
#include "engine/data/video_writer.h"
#include "engine/train/progress.h"
#include "tools/base/interrupt.h"

namespace kinema::tools {

namespace {

namespace train = engine::train;
namespace video = engine::video;

constexpr int64_t frames_at_once = 64;  // a list of all frames would grow with the video

/// Keeps an overlay at the scores of the time that is drawn.
class Scores {
 public:
  Scores(const train::Predictor& predictor, const std::vector<std::string>& classes,
         const std::string& path, double every)
      : classes_(classes), points_(predictor, path, every) {
    more_ = points_.next(next_);
  }
  void show(double seconds, video::ScoreOverlay& overlay) {
    for (; more_ && next_.seconds <= seconds + 1e-9; more_ = points_.next(next_)) {
      std::vector<video::ScoreBar> bars;
      for (int64_t c : train::highest(next_.probabilities, 5))
        bars.push_back({classes_[size_t(c)], next_.probabilities[size_t(c)]});
      overlay.show(bars);
    }
  }

 private:
  const std::vector<std::string>& classes_;
  train::Timeline points_;
  train::Timeline::Point next_;
  bool more_ = false;
};

void show_progress(train::ProgressLine& line, int64_t done, int64_t all,
                   std::chrono::steady_clock::time_point began) {
  if (!line.due()) return;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  line.show(fmt::format("predict: {}/{} frames  {:.0f} frames/s  ETA {}", done, all,
                        double(done) / took.count(),
                        train::clock_text(took.count() / double(done) * double(all - done))));
}

}  // namespace

bool write_score_video(const train::Predictor& predictor, const std::vector<std::string>& classes,
                       const std::string& path, double every, const std::string& out) {
  Scores scores(predictor, classes, path, every);
  video::VideoReader reader(path);
  const video::FrameSize size = reader.info().size;
  const int64_t total = reader.frames(), height = size.height / 2 * 2, width = size.width / 2 * 2;
  const double fps = reader.info().fps;
  video::ScoreOverlay overlay(size);
  video::VideoWriter writer(out, height, width, {.fps = fps});
  train::ProgressLine line;
  const auto began = std::chrono::steady_clock::now();
  for (int64_t first = 0; first < total; first += frames_at_once) {
    if (interrupted()) return false;
    std::vector<int64_t> frames(size_t(std::min(frames_at_once, total - first)));
    std::iota(frames.begin(), frames.end(), first);
    reader.read(frames, size, [&](int64_t frame, const engine::View& rgb) {
      scores.show(double(frame) / fps, overlay);
      writer.write(overlay.draw(rgb).slice(2, 0, height).slice(3, 0, width));
      show_progress(line, frame + 1, total, began);
    });
  }
  line.end();
  writer.close();
  return true;
}

}  // namespace kinema::tools
