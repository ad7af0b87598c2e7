#pragma once
#include <functional>
#include "tools/compare/row.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

/// Who takes part: a backend of this program, or a kernel of the user's own.
struct Contender {
  std::string name;
  Backend backend;  ///< where it computes
  /// Its constant of an operation's contract; null where it has none.
  std::function<const void*(const Trials&)> constant;
};
Contender contender_of(Backend);

struct ContestOptions {
  bool time = false;     ///< otherwise results are checked, and speed is not measured
  bool explain = false;  ///< fill Row::plan
};

/// A row for each contender that offers the trial's pass. On a GPU times are medians of 30 rounds
/// in which all contenders run in turn, each on sets of tensors that together exceed the L2 cache
/// three times. `ratio` is set where cudnn is among them.
std::vector<Row> contest(const Trials&, const Trial&, const std::vector<Contender>&,
                         const ContestOptions&);

}  // namespace kinema::tools::compare
