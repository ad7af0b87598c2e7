#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kinema::tools::compare_page {

/// A limit of the hardware in a plot: y = rate, or y = x * rate.
struct Roof {
  double rate = 0;
  bool slope = false;
  std::string label;
};

/// A row of the table in a plot.
struct Mark {
  size_t row = 0;  ///< its number in the table
  double x = 0, y = 0;
  int colour = 0, shape = 0;  ///< .k0 ... of page.css; circle, square, triangle, diamond
  bool open = false;          ///< not measured: where the limit is
  bool wrong = false;
};

/// A plot with both axes logarithmic. page.js says what lies under the pointer and hides what the
/// filters leave out, by the rows' numbers.
/// Source of the kind with a slope: Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009.
struct Plot {
  std::string title, x_name, y_name;
  std::vector<Roof> roofs = {};
  std::vector<Mark> marks = {};
};

/// The plot as one <figure> with inline SVG; "" without marks.
std::string svg_of(const Plot&);

/// The drawing of a mark alone, for legends.
std::string symbol(int shape, int colour);

/// 3.5e12 as 3.5 T: at most three digits and a prefix of the SI.
std::string with_prefix(double value);

}  // namespace kinema::tools::compare_page
