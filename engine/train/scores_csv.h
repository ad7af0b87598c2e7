#pragma once
#include <filesystem>
#include <string>
#include <vector>
#include "engine/train/evaluate.h"

namespace kinema::engine::train {

/// What an evaluation said of one video.
struct Score {
  std::string path;
  std::string label;  ///< several are joined by semicolons
  std::string predicted;
  double probability = 0;  ///< of the class predicted
  /// Of the label, the best of several: 1 is the likeliest; of equal ones the lower class first.
  int64_t rank = 0;
  double loss = 0;  ///< loss_of_answer()
  bool correct() const { return rank == 1; }
};

/// One a video of `data`, in the order of the answers.
std::vector<Score> scores_of(const Evaluation& evaluation, const video::Dataset& data);

/// Writes a line a video: path,label,predicted,correct,rank,loss,probability and, if `classes`, one
/// column with the probability of each class, under its name. By io::csv_field() and write_whole().
void write_scores(const std::filesystem::path& path, const Evaluation& evaluation,
                  const video::Dataset& data, bool classes);

/// Reads the columns of Score back. Errors: no such file; other columns; a damaged line, numbered.
std::vector<Score> read_scores(const std::filesystem::path& path);

}  // namespace kinema::engine::train
