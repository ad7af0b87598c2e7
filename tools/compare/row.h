#pragma once
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace kinema::tools::compare {

/// One trial on one backend. Numbers that are not known are NaN.
struct Row {
  /// refused: the backend does not take this case; `note` says why.
  enum class State { right, wrong, refused };

  std::string operation, pass;
  std::string dtype;  ///< f32, tf32, bf16, f16
  std::string shape;  ///< as --shapes takes it
  std::string name;   ///< of the layer that has the shape; may be empty
  std::string backend;
  State state = State::right;
  double error = NAN;  ///< max|difference| / max|reference|, the reference in f64
  double bound = NAN;  ///< what the error may be
  std::string reason;  ///< for the bound
  double flop = 0;     ///< two for a multiply-add; 0 where memory alone can bind
  double bytes = 0;    ///< that cannot be spared: inputs read, outputs written
  double floor = NAN;  ///< seconds that an H200 takes at least for these
  double seconds = NAN, low = NAN, high = NAN;  ///< median, 10 % and 90 %
  double share = NAN;                           ///< floor over seconds; on an H200 alone
  double ratio = NAN;                           ///< cuDNN's seconds over these: above 1 is faster
  std::string note = {};                        ///< what is wrong, or why there is no result
  std::string plan = {};                        ///< how the backend does it, where asked for
};

constexpr const char* name_of(Row::State s) {
  constexpr const char* names[] = {"ok", "WRONG", "refused"};
  return names[int(s)];
}

/// All rows of a run, and where it ran.
struct Comparison {
  std::string command, machine;
  std::vector<std::pair<std::string, std::string>> versions = {};  ///< of libraries: name, version
  std::vector<Row> rows = {};
};

}  // namespace kinema::tools::compare
