#include "engine/train/metrics.h"
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

namespace kinema::engine::train {

std::vector<std::vector<double>> rows_of(const Tensor& scores) {
  check(scores.rank() == 2, "metrics: expected scores [N,classes], got ", scores.shape());
  std::vector<std::vector<double>> rows(size_t(scores.shape(0)));
  kernels::dispatch_float("metrics", scores.dtype(), [&]<class T>(T) {
    const std::vector<T> all = to_vector<T>(scores);
    const int64_t width = scores.shape(1);
    for (size_t n = 0; n < rows.size(); ++n)
      rows[n].assign(all.begin() + int64_t(n) * width, all.begin() + (int64_t(n) + 1) * width);
  });
  return rows;
}

std::vector<double> softmax(const std::vector<double>& scores) {
  if (scores.empty()) return {};
  const double top = *std::max_element(scores.begin(), scores.end());
  std::vector<double> p;
  for (double s : scores) p.push_back(std::exp(s - top));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= sum;
  return p;
}

std::vector<int64_t> highest(const std::vector<double>& scores, int64_t count) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  auto key = [&](int64_t i) {
    const double s = scores[size_t(i)];
    return std::isnan(s) ? -INFINITY : s;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return key(a) > key(b); });
  order.resize(std::min(order.size(), size_t(count)));
  return order;
}

Metrics::Metrics(int64_t classes)
    : confusion_(size_t(classes), std::vector<int64_t>(size_t(classes))) {}

void Metrics::add(const std::vector<double>& scores, const std::vector<int64_t>& labels) {
  check(scores.size() == confusion_.size(), "metrics: expected ", confusion_.size(),
        " scores, got ", scores.size());
  check(!labels.empty(), "metrics: expected at least one label");
  for (int64_t label : labels)
    check(label >= 0 && label < int64_t(scores.size()), "metrics: expected a label below ",
          scores.size(), ", got ", label);
  const auto wanted = [&](int64_t c) {
    return std::find(labels.begin(), labels.end(), c) != labels.end();
  };
  ++count_;
  const std::vector<int64_t> top = highest(scores, 5);
  ++confusion_[size_t(wanted(top[0]) ? top[0] : labels[0])][size_t(top[0])];
  if (std::any_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); })) return;
  first_ += wanted(top[0]);
  fifth_ += std::any_of(top.begin(), top.end(), wanted);
}

void Metrics::add_several(const Tensor& scores, const Tensor& targets) {
  const std::vector<std::vector<double>> all = rows_of(scores), wanted = rows_of(targets);
  for (size_t n = 0; n < all.size(); ++n) {
    std::vector<int64_t> labels;
    for (size_t c = 0; c < wanted[n].size(); ++c)
      if (wanted[n][c] > 0) labels.push_back(int64_t(c));
    add(all[n], labels);
  }
}

void Metrics::add(const Tensor& scores, const Tensor& labels) {
  const std::vector<int64_t> label = to_vector<int64_t>(labels);
  const std::vector<std::vector<double>> rows = rows_of(scores);
  check(rows.size() == label.size(), "metrics: ", rows.size(), " rows of scores came with ",
        label.size(), " labels");
  for (size_t n = 0; n < rows.size(); ++n) add(rows[n], label[n]);
}

void Metrics::add_loss(double mean, int64_t samples) {
  loss_sum_ += mean * double(samples);
  loss_samples_ += samples;
}

nlohmann::json Metrics::sums() const {
  return {{"count", count_},       {"first", first_},
          {"fifth", fifth_},       {"loss_samples", loss_samples_},
          {"loss_sum", loss_sum_}, {"confusion", confusion_}};
}

void Metrics::restore(const nlohmann::json& sums) {
  const auto confusion = sums.at("confusion").get<std::vector<std::vector<int64_t>>>();
  check(confusion.size() == confusion_.size(), "metrics: expected sums of ", confusion_.size(),
        " classes, got ", confusion.size());
  confusion_ = confusion;
  sums.at("count").get_to(count_);
  sums.at("first").get_to(first_);
  sums.at("fifth").get_to(fifth_);
  sums.at("loss_samples").get_to(loss_samples_);
  sums.at("loss_sum").get_to(loss_sum_);
}

}  // namespace kinema::engine::train
