#pragma once
#include <functional>
#include <limits>
#include <string>
#include <vector>
#include "engine/data/loader.h"
#include "engine/nn/module.h"
#include "engine/train/metrics.h"

namespace kinema::engine::train {

/// Clips [N,T,H,W,3] to scores [N,classes] before softmax.
using Forward = std::function<Tensor(const Tensor& clips)>;

/// How the views of one video (clips x crops) become one answer.
enum class Average {
  softmax,  ///< the mean of their probabilities
  logits,   ///< the probabilities of their mean scores
  sigmoid   ///< the mean of the probabilities of each class on its own: for several labels a video
};
const char* name_of(Average average);

/// The answer that `views` views give together, taken one after another: holds one row of scores
/// whatever their number, and its bits do not depend on how they came in pieces.
class ViewAverage {
 public:
  /// Errors: no view.
  ViewAverage(int64_t views, Average average);
  /// The scores of the next view.
  void add(const std::vector<double>& scores);
  bool complete() const { return added_ == views_; }
  /// Probabilities of the classes, once it is complete.
  std::vector<double> probabilities() const;

 private:
  int64_t views_, added_ = 0;
  Average average_;
  std::vector<double> mean_;
};

/// Probabilities of the classes from the scores of each view.
std::vector<double> average_views(const std::vector<std::vector<double>>& scores, Average average);

/// The answer for one video of a data set.
struct Answer {
  int64_t sample = 0;  ///< which of the data set
  std::vector<double> probabilities;
};

/// What an evaluation found. Of a multi-label data set the loss of `metrics` is the binary cross
/// entropy, the mean over classes and videos.
struct Evaluation {
  Metrics metrics;  ///< its loss is -log p(label), the mean over videos
  /// Of a multi-label data set (see metrics.h); else NaN.
  double mean_average_precision = std::numeric_limits<double>::quiet_NaN();
  std::vector<Answer> answers = {};
  double seconds = 0;
};

/// -log p of the label; of several, the mean over classes of -log of what is true of each. A
/// probability that underflows still gives a finite loss.
double loss_of_answer(const std::vector<double>& probabilities, const video::Sample& sample);

/// Runs every video of `loader` (one without training) through the network in inference mode, off
/// the tape. `progress` hears how many videos are done.
/// Errors: `average` is sigmoid, but the data set is no multi-label set, or the other way round.
Evaluation evaluate(nn::Module& network, const Forward& forward, video::Loader& loader,
                    Average average, const std::function<void(int64_t done)>& progress = {});

}  // namespace kinema::engine::train
