#include "engine/train/evaluate.h"
#include <algorithm>
#include <cfloat>
#include <chrono>
#include <cmath>
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

std::vector<double> average_views(const std::vector<std::vector<double>>& scores, Average average) {
  check(!scores.empty(), "evaluate: at least one view is needed");
  std::vector<double> mean(scores[0].size());
  for (const std::vector<double>& view : scores) {
    const std::vector<double> v = average == Average::softmax ? softmax(view) : view;
    for (size_t c = 0; c < mean.size(); ++c) mean[c] += v[c] / double(scores.size());
  }
  return average == Average::softmax ? mean : softmax(mean);
}

Evaluation evaluate(nn::Module& network, const Forward& forward, video::Loader& loader,
                    Average average, const std::function<void(int64_t done)>& progress) {
  const auto began = std::chrono::steady_clock::now();
  Inference mode(network);
  Evaluation result{Metrics(int64_t(loader.dataset().classes.size())), {}, 0};
  loader.start_epoch(0);
  for (video::Batch batch; loader.next(batch);) {
    const std::vector<std::vector<double>> rows = rows_of(forward(batch.clips));
    const std::vector<int64_t> labels = to_vector<int64_t>(batch.labels);
    for (size_t at = 0; at < rows.size(); at += size_t(batch.views)) {
      const auto first = rows.begin() + int64_t(at);
      std::vector<double> p = average_views({first, first + batch.views}, average);
      result.metrics.add(p, labels[at]);
      // A probability that underflows still gives a finite loss.
      result.metrics.add_loss(-std::log(std::max(p[size_t(labels[at])], DBL_MIN)), 1);
      result.answers.push_back({batch.index[at], std::move(p)});
    }
    if (progress) progress(result.metrics.count());
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace kinema::engine::train
