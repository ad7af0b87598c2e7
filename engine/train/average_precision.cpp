#include "engine/train/average_precision.h"
#include <algorithm>
#include <cmath>
#include <numeric>
#include "kernels/base/error.h"

namespace kinema::engine::train {

std::vector<double> sigmoid(const std::vector<double>& scores) {
  std::vector<double> p;
  for (double s : scores) {
    const double e = std::exp(-std::abs(s));  // cannot overflow
    p.push_back((s >= 0 ? 1 : e) / (1 + e));
  }
  return p;
}

double average_precision(const std::vector<double>& scores, const std::vector<bool>& positive) {
  const auto key = [&](size_t i) { return std::isnan(scores[i]) ? -INFINITY : scores[i]; };
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) > key(b); });
  double sum = 0;
  int64_t found = 0, at_last_threshold = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    found += positive[order[i]];
    if (i + 1 < order.size() && key(order[i + 1]) == key(order[i])) continue;
    sum += double(found - at_last_threshold) * double(found) / double(i + 1);
    at_last_threshold = found;
  }
  return sum / double(found);
}

double mean_average_precision(const std::vector<std::vector<double>>& scores,
                              const std::vector<std::vector<int64_t>>& labels) {
  kernels::check(scores.size() == labels.size(), "average precision: expected labels of ",
                 scores.size(), " videos, got ", labels.size());
  const size_t classes = scores.empty() ? 0 : scores[0].size();
  double sum = 0;
  int64_t shown = 0;
  for (size_t c = 0; c < classes; ++c) {
    std::vector<double> of_class;
    std::vector<bool> positive;
    for (size_t i = 0; i < scores.size(); ++i) {
      of_class.push_back(scores[i][c]);
      positive.push_back(std::find(labels[i].begin(), labels[i].end(), int64_t(c)) !=
                         labels[i].end());
    }
    if (std::find(positive.begin(), positive.end(), true) == positive.end()) continue;
    sum += average_precision(of_class, positive);
    ++shown;
  }
  return sum / double(shown);
}

}  // namespace kinema::engine::train
