#pragma once
#include "tools/compare/contest.h"

namespace kinema::tools::compare {

struct Timing {
  double seconds = 0, low = 0, high = 0;  ///< median, tenth and ninetieth percentile
};

/// What each of `constants` takes for a trial on the backend beside it, see contest(). On the CPU
/// a round is one call.
std::vector<Timing> times_of(const Trial&, const std::vector<std::pair<const void*, Backend>>&);

}  // namespace kinema::tools::compare
