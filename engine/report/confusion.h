#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>
#include "engine/train/scores_csv.h"

namespace kinema::engine::report {

/// Which classes an evaluation took for which: what is not 0 alone, for there may be many classes.
struct Confusion {
  std::vector<std::string> classes;
  std::map<std::pair<int64_t, int64_t>, int64_t> counts;  ///< by [label, predicted]
  std::vector<int64_t> videos;                            ///< of each class
};

/// Labels that `classes` lacks are added behind them.
Confusion confusion_of(std::vector<std::string> classes, const std::vector<train::Score>& scores);

/// The matrix as inline SVG with one path for each of a few shades, so that 400 classes stay small;
/// "" of more than 400. The counts lie beside it as JSON for a script. Cells are shares of their
/// row: right ones in one colour, wrong ones in another.
std::string heat_map(const Confusion& confusion);

/// The `most` pairs that were mistaken most often, as a table; "" where nothing was.
std::string mistakes(const Confusion& confusion, size_t most = 20);

/// A line for each class that has videos, the worst first.
std::string per_class(const Confusion& confusion);

}  // namespace kinema::engine::report
