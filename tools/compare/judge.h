#pragma once
#include "tools/compare/arrays.h"

namespace kinema::tools::compare {

/// What a trial must give: the reference in f64 on the same rounded inputs.
class Judge {
 public:
  Judge(const Trials&, const Trial&);

  struct Verdict {
    double error = 0, bound = 0;  ///< of the output that comes nearest to its bound, or passes it
    std::string fault = {};       ///< what is wrong, naming the operand; "" where all is right
  };
  /// `before` and `after`: what the operands held before and after the pass of a backend.
  Verdict verdict(Backend, const std::vector<Array>& before, const std::vector<Array>& after) const;

 private:
  std::vector<Array> run(std::vector<Array> operands) const;
  double error(size_t operand, const View& got) const;

  const Trials& trials_;
  const Trial& trial_;
  std::vector<Array> wanted_;
  std::vector<double> bounds_;
};

}  // namespace kinema::tools::compare
