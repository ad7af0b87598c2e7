#include "engine/train/evaluate.h"
#include <algorithm>
#include <cfloat>
#include <chrono>
#include <cmath>
#include <optional>
#include "engine/autograd.h"
#include "engine/train/average_precision.h"
#include "engine/train/feed.h"

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

std::vector<double> before_mean(const std::vector<double>& scores, Average average) {
  if (average == Average::logits) return scores;
  return average == Average::softmax ? softmax(scores) : sigmoid(scores);
}

/// A batch that the network has seen, or will.
struct Shown {
  Tensor scores;
  std::vector<int64_t> index;
};

double precision_of(const std::vector<Answer>& answers, const video::Dataset& set) {
  std::vector<std::vector<double>> scores;
  std::vector<std::vector<int64_t>> labels;
  for (const Answer& a : answers) {
    scores.push_back(a.probabilities);
    labels.push_back(set.samples[size_t(a.sample)].labels);
  }
  return mean_average_precision(scores, labels);
}

}  // namespace

const char* name_of(Average average) {
  switch (average) {
    case Average::softmax:
      return "softmax";
    case Average::logits:
      return "logits";
    default:
      return "sigmoid";
  }
}

ViewAverage::ViewAverage(int64_t views, Average average) : views_(views), average_(average) {
  check(views > 0, "evaluate: at least one view is needed");
}

void ViewAverage::add(const std::vector<double>& scores) {
  check(added_ < views_, "evaluate: more than ", views_, " views");
  ++added_;
  mean_.resize(scores.size());
  const std::vector<double> v = before_mean(scores, average_);
  for (size_t c = 0; c < v.size(); ++c) mean_[c] += v[c] / double(views_);
}

std::vector<double> ViewAverage::probabilities() const {
  check(complete(), "evaluate: ", added_, " of ", views_, " views are known");
  return average_ == Average::logits ? softmax(mean_) : mean_;
}

double loss_of_answer(const std::vector<double>& p, const video::Sample& sample) {
  const auto cost = [](double v) { return -std::log(std::max(v, DBL_MIN)); };
  if (sample.labels.empty()) return cost(p[size_t(sample.label)]);
  double sum = 0;
  for (size_t c = 0; c < p.size(); ++c) {
    const auto& labels = sample.labels;
    const bool shown = std::find(labels.begin(), labels.end(), int64_t(c)) != labels.end();
    sum += cost(shown ? p[c] : 1 - p[c]);
  }
  return sum / double(p.size());
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
  const video::Dataset& set = loader.dataset();
  check(set.multi_label == (average == Average::sigmoid),
        "evaluate: sigmoids are averaged where videos have several labels, and only there");
  Evaluation result{.metrics = Metrics(int64_t(set.classes.size()))};
  loader.start_epoch(0);
  const int64_t views = loader.recipe().views();
  std::optional<ViewAverage> average_of;  // of the video whose views come in now
  int64_t sample = -1;
  const auto read = [&](const Shown& shown) {
    const std::vector<std::vector<double>> rows = rows_of(shown.scores);
    for (size_t r = 0; r < rows.size(); ++r) {
      if (sample != shown.index[r]) average_of.emplace(views, average);
      sample = shown.index[r];
      average_of->add(rows[r]);
      if (!average_of->complete()) continue;
      std::vector<double> p = average_of->probabilities();
      const video::Sample& of = set.samples[size_t(sample)];
      result.metrics.add(p, set.multi_label ? of.labels : std::vector{of.label});
      result.metrics.add_loss(loss_of_answer(p, of), 1);
      result.answers.push_back({sample, std::move(p)});
    }
    if (progress && result.metrics.count()) progress(result.metrics.count());
  };
  Feed feed(loader.recipe(), network.precision());
  std::optional<Shown> before;
  for (video::Batch batch; loader.next(batch);) {
    const FedBatch fed = feed.bring(std::move(batch));
    Shown shown{forward(fed.clips), fed.host.index};
    // Scores are waited for when the next batch is on its way already.
    if (before) read(*before);
    before = std::move(shown);
  }
  if (before) read(*before);
  if (set.multi_label) result.mean_average_precision = precision_of(result.answers, set);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace kinema::engine::train
