#pragma once
#include <map>
#include <string>
#include <vector>
#include "tests/support/device_check.h"

namespace kinema::test {

/// Holds what an epilogue leaves of each tile against the result that the device has stored.
class TileCheck {
 public:
  /// Throws nothing; failures are the test's: `left` is what the tiles hold, `result` y or dx.
  using Check = std::function<void(const Array& left, const Array& result, const std::string&)>;

  /// `shape` is that of all tiles but for their number, `result` what the passes start from.
  TileCheck(std::string what, const Array& result, const Shape& shape, Check check)
      : what_(std::move(what)), result_(result), shape_(shape), check_(std::move(check)) {}

  /// Runs `pass`, which is given the tiles (NaN at first) or none, on `result` of the device: each
  /// entry and no more is written, runs of a group agree bit for bit, and so does the result with
  /// that of a run without tiles.
  void run(const DeviceRun&, Stream, int64_t tiles, const View& result,
           const std::function<void(const View&)>& pass);

 private:
  std::string what_;
  Array result_;
  Shape shape_;
  Check check_;
  std::map<std::string, std::vector<char>> first_;
};

/// Number, mean and sum of squared distances from it.
struct Moments {
  double count = 0, mean = 0, m2 = 0;
};
/// Those of each channel, over all tiles.
std::vector<Moments> merged(const Array& partials);

/// Pixels, mean and M2 of each channel, merged, against those of y in double.
void expect_statistics(const Array& partials, const Array& y, const std::string& what);

/// Sums of dx and of dx * (z - mean) for each channel, added up, against those in double.
void expect_sums(const Array& sums, const Array& dx, const Array& z, const Array& mean,
                 const std::string& what);

}  // namespace kinema::test
