#pragma once
#include "tools/compare/contest.h"

namespace kinema::tools::compare {

/// What is timed: a constant of a contract, where it computes, and, of cuDNN's plans, the rank of
/// the one that it runs by.
struct Entry {
  const void* op;
  Backend backend;
  int64_t rank = 0;
};

struct Timing {
  double seconds = 0, low = 0, high = 0;  ///< median, tenth and ninetieth percentile
};

/// What each entry takes for a trial, see contest(). On the CPU a round is one call. 0 of a plan
/// that does not run.
std::vector<Timing> times_of(const Trial&, const std::vector<Entry>&);

}  // namespace kinema::tools::compare
