#include "engine/train/evaluate.h"
#include <algorithm>
#include <cfloat>
#include <chrono>
#include <cmath>
#include <optional>
#include "engine/autograd.h"

namespace kinema::engine::train {

namespace {

/// Inference mode while it lives.
class Inference {
 public:
  explicit Inference(nn::Module& network) : network_(network), before_(network.training()) {
    network_.train(false);
  }
  ~Inference() { network_.train(before_); }
  Inference(const Inference&) = delete;
  Inference& operator=(const Inference&) = delete;

 private:
  nn::Module& network_;
  bool before_;
  NoGrad off_tape_;
};

}  // namespace

const char* name_of(Average average) { return average == Average::softmax ? "softmax" : "logits"; }

ViewAverage::ViewAverage(int64_t views, Average average) : views_(views), average_(average) {
  check(views > 0, "evaluate: at least one view is needed");
}

void ViewAverage::add(const std::vector<double>& scores) {
  check(added_ < views_, "evaluate: more than ", views_, " views");
  ++added_;
  mean_.resize(scores.size());
  const std::vector<double> v = average_ == Average::softmax ? softmax(scores) : scores;
  for (size_t c = 0; c < v.size(); ++c) mean_[c] += v[c] / double(views_);
}

std::vector<double> ViewAverage::probabilities() const {
  check(complete(), "evaluate: ", added_, " of ", views_, " views are known");
  return average_ == Average::softmax ? mean_ : softmax(mean_);
}

std::vector<double> average_views(const std::vector<std::vector<double>>& scores, Average average) {
  ViewAverage all(int64_t(scores.size()), average);
  for (const std::vector<double>& view : scores) all.add(view);
  return all.probabilities();
}

Evaluation evaluate(nn::Module& network, const Forward& forward, video::Loader& loader,
                    Average average, const std::function<void(int64_t done)>& progress) {
  const auto began = std::chrono::steady_clock::now();
  Inference mode(network);
  Evaluation result{Metrics(int64_t(loader.dataset().classes.size())), {}, 0};
  loader.start_epoch(0);
  const int64_t views = loader.recipe().views();
  std::optional<ViewAverage> average_of;  // of the video whose views come in now
  int64_t sample = -1;
  for (video::Batch batch; loader.next(batch);) {
    const std::vector<std::vector<double>> rows = rows_of(forward(batch.clips));
    const std::vector<int64_t> labels = to_vector<int64_t>(batch.labels);
    for (size_t r = 0; r < rows.size(); ++r) {
      if (sample != batch.index[r]) average_of.emplace(views, average);
      sample = batch.index[r];
      average_of->add(rows[r]);
      if (!average_of->complete()) continue;
      std::vector<double> p = average_of->probabilities();
      result.metrics.add(p, labels[r]);
      // A probability that underflows still gives a finite loss.
      result.metrics.add_loss(-std::log(std::max(p[size_t(labels[r])], DBL_MIN)), 1);
      result.answers.push_back({sample, std::move(p)});
    }
    if (progress && result.metrics.count()) progress(result.metrics.count());
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace kinema::engine::train
