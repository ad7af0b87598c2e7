#pragma once
#include <cstdint>
#include <vector>

namespace kinema::engine::train {

/// 1 / (1 + e^-score) of each.
std::vector<double> sigmoid(const std::vector<double>& scores);

/// How well scores put what shows a class before what does not: the sum over the thresholds t at
/// each score, highest first, of (R(t) - R(t-1)) P(t), with recall R and precision P of what scores
/// at least t, without interpolation; equal scores share a threshold. NaN ranks last. NaN where
/// nothing is positive.
/// Source: scikit-learn, average_precision_score; Sigurdsson et al., arXiv:1604.01753 (Charades).
double average_precision(const std::vector<double>& scores, const std::vector<bool>& positive);

/// The mean over the classes that some video shows, of scores [video][class] and the labels of each
/// video. NaN where there are none. Errors: not as many labels as scores.
double mean_average_precision(const std::vector<std::vector<double>>& scores,
                              const std::vector<std::vector<int64_t>>& labels);

}  // namespace kinema::engine::train
