#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>
#include "engine/tensor.h"

namespace kinema::engine::train {

/// The scores of each row, as doubles: [N, classes] of any floating-point type to N rows.
std::vector<std::vector<double>> rows_of(const Tensor& scores);

/// exp(score - highest) / sum of these.
std::vector<double> softmax(const std::vector<double>& scores);

/// Indices of the `count` highest scores (all, where there are fewer), highest first; of equal ones
/// the lower index first, NaN last.
std::vector<int64_t> highest(const std::vector<double>& scores, int64_t count);

/// How well scores name classes: counted sample by sample, in double.
class Metrics {
 public:
  explicit Metrics(int64_t classes);

  /// One sample. A label counts as found among the k highest scores if fewer than k of the others
  /// rank before it; a sample whose scores hold NaN counts as wrong.
  /// Errors: as many scores as classes; a label outside of [0, classes).
  void add(const std::vector<double>& scores, int64_t label) { add(scores, std::vector{label}); }
  /// The same of a video with several labels, at least one: any of them counts. Its row of the
  /// confusion is that of the label found, else that of its first.
  void add(const std::vector<double>& scores, const std::vector<int64_t>& labels);
  /// Rows of scores [N, classes] with labels i64 [N].
  void add(const Tensor& scores, const Tensor& labels);
  /// Rows of scores [N, classes] with targets f32 [N, classes], which are 1 for each label.
  void add_several(const Tensor& scores, const Tensor& targets);
  /// The mean loss over `samples` of them.
  void add_loss(double mean, int64_t samples);

  int64_t count() const { return count_; }
  /// Shares in [0, 1] of the samples whose label is the highest score, or among the five highest; 0
  /// of none.
  double top1() const { return share(first_); }
  double top5() const { return share(fifth_); }
  /// The mean over the samples of all add_loss(); NaN before the first.
  double loss() const { return loss_sum_ / double(loss_samples_); }
  /// [label][class named]: how many samples.
  const std::vector<std::vector<int64_t>>& confusion() const { return confusion_; }

  /// All sums, exactly, for a checkpoint; and back. Errors: sums of other classes.
  nlohmann::json sums() const;
  void restore(const nlohmann::json& sums);

 private:
  double share(int64_t hits) const { return count_ ? double(hits) / double(count_) : 0; }

  std::vector<std::vector<int64_t>> confusion_;
  int64_t count_ = 0, first_ = 0, fifth_ = 0, loss_samples_ = 0;
  double loss_sum_ = 0;
};

}  // namespace kinema::engine::train
