#pragma once
#include <deque>
#include <memory>
#include <string>
#include <vector>
#include "engine/data/video_views.h"
#include "engine/train/evaluate.h"
#include "engine/train/feed.h"

namespace kinema::engine::train {

/// How videos are shown to a network that is in inference mode.
struct Predictor {
  Forward forward;
  video::Recipe recipe;
  Average average = Average::softmax;
  int64_t batch = 16;    ///< views that run through the network at once
  Feed* feed = nullptr;  ///< of the recipe, for a network on a GPU; none: the CPU makes clips
};

/// Probabilities of the classes for one video, over the recipe's views. Memory does not grow with
/// their number. Errors: a video that cannot be read; scores that are no numbers.
std::vector<double> predict(const Predictor& predictor, const std::string& path);

/// Probabilities over time: at 0, `every`, 2 `every`, ... seconds of a video, from the clip around
/// that time (in recipe.crops crops). Memory grows neither with the video's length nor with the
/// number of times. Time is counted in frames at the video's average rate.
class Timeline {
 public:
  struct Point {
    double seconds = 0;
    std::vector<double> probabilities;
  };
  /// `predictor` must outlive it. Errors: a video that cannot be read or does not say its frame
  /// rate; `every` not above 0.
  Timeline(const Predictor& predictor, const std::string& path, double every);
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  /// How many there are.
  int64_t points() const { return points_; }
  /// The next; false at the end.
  bool next(Point& point);

 private:
  void fill();

  const Predictor& predictor_;
  std::string path_;
  double every_;
  int64_t points_ = 0, given_ = 0;
  std::unique_ptr<video::VideoViews> views_;
  std::deque<std::vector<double>> ready_;
  std::unique_ptr<ViewAverage> average_;  ///< of the point whose crops come in now
};

}  // namespace kinema::engine::train
