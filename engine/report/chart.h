#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace kinema::engine::report {

/// A curve of bounded size, whatever is added: once it is full, neighbours become their mean.
class Curve {
 public:
  explicit Curve(std::string name, size_t most = 2000) : name_(std::move(name)), most_(most) {}

  struct Point {
    double x = 0, y = 0;
  };
  /// x must not fall. What is not finite is left out.
  void add(double x, double y);
  /// At most `most` of them, each the mean of per_point() that were added (the last: of up to
  /// that).
  std::vector<Point> points() const;
  int64_t per_point() const { return width_; }
  const std::string& name() const { return name_; }

 private:
  struct Sum {
    double x = 0, y = 0;
    int64_t count = 0;
  };
  std::string name_;
  size_t most_;
  int64_t width_ = 1;
  std::vector<Sum> sums_;
};

/// How numbers along an axis are written.
enum class Unit : uint8_t { number, percent, bytes, seconds };

/// A diagram of up to three curves over one axis.
struct Chart {
  std::string title, x_name;
  Unit unit = Unit::number;  ///< of y; percent: of shares in [0, 1]
  std::vector<Curve> curves = {};
  bool from_zero = false;  ///< the axis of y begins at 0
  Unit x_unit = Unit::number;
};

/// 1234567 as 1.23M, 0.00012 as 1.2e-4: at most 4 digits.
std::string short_number(double value, Unit unit = Unit::number);

/// Values at equal steps of 1, 2, 2.5 or 5 times a power of ten that cover [low, high], about
/// `wanted` of them. Of equal ends, or nearly so, a wider range.
std::vector<double> ticks(double low, double high, int wanted);

/// The diagram as one <figure> with inline SVG; "" where no curve has a point. The svg element
/// tells in data attributes how its coordinates become values, so that a script can show these.
std::string svg_of(const Chart& chart);

}  // namespace kinema::engine::report
