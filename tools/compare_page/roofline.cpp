#include "tools/compare_page/roofline.h"
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include "engine/report/html.h"

namespace kinema::tools::compare_page {

namespace {

using engine::report::escape;

// The drawing in its own units, and the margins around the plot in it.
constexpr double width = 1180, height = 460, left = 78, right = 14, top = 12, bottom = 48;

/// From values to the drawing, by whole decades or parts of them.
struct Frame {
  double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;  // log10
  void hold(double px, double py) {
    x0 = std::min(x0, px);
    x1 = std::max(x1, px);
    y0 = std::min(y0, py);
    y1 = std::max(y1, py);
  }
  double x(double v) const {
    return left + (std::log10(v) - x0) / (x1 - x0) * (width - left - right);
  }
  double y(double v) const {
    return height - bottom - (std::log10(v) - y0) / (y1 - y0) * (height - top - bottom);
  }
};

/// The highest level roof, which ends the slope; 0 where there is none.
double ceiling_of(const Plot& plot) {
  double most = 0;
  for (const Roof& r : plot.roofs)
    if (!r.slope) most = std::max(most, r.rate);
  return most;
}

Frame frame_of(const Plot& plot) {
  Frame f;
  for (const Mark& m : plot.marks) f.hold(std::log10(m.x), std::log10(m.y));
  for (const Roof& r : plot.roofs) {
    if (!r.slope)
      f.hold(f.x0, std::log10(r.rate));
    else if (const double most = ceiling_of(plot); most > 0)
      f.hold(std::log10(most / r.rate), std::log10(most));
  }
  // Some room at the ends, that marks and labels are whole.
  return {f.x0 - 0.15, f.x1 + 0.3, f.y0 - 0.2, f.y1 + 0.3};
}

/// Powers of ten between two of them; where these are few, their double and fivefold too.
std::vector<double> ticks(double low, double high) {
  std::vector<double> all;
  for (double e = std::floor(low); e <= high; ++e)
    for (const double digit : {1.0, 2.0, 5.0}) {
      const double at = e + std::log10(digit);
      if (at >= low && at <= high && (digit == 1 || high - low < 2.5))
        all.push_back(digit * std::pow(10, e));
    }
  return all;
}

std::string axes(const Plot& plot, const Frame& f) {
  std::string out;
  for (const double v : ticks(f.x0, f.x1))
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:g}\" y2=\"{2:g}\"/>"
        "<text class=\"mid\" x=\"{0:.1f}\" y=\"{3:g}\">{4}</text>",
        f.x(v), top, height - bottom, height - bottom + 16, with_prefix(v));
  for (const double v : ticks(f.y0, f.y1))
    out += fmt::format(
        "<line class=\"grid\" x1=\"{1:g}\" x2=\"{2:g}\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/>"
        "<text class=\"end\" x=\"{3:g}\" y=\"{4:.1f}\">{5}</text>",
        f.y(v), left, width - right, left - 7, f.y(v) + 4, with_prefix(v));
  const double middle = (top + height - bottom) / 2;
  return out + fmt::format(
                   "<text class=\"mid\" x=\"{:g}\" y=\"{:g}\">{}</text><text class=\"mid\" "
                   "transform=\"translate(14 {:g}) rotate(-90)\">{}</text>",
                   (left + width - right) / 2, height - 10, escape(plot.x_name), middle,
                   escape(plot.y_name));
}

/// A level roof begins where the slope reaches it; the slope ends at the highest.
std::string roofs(const Plot& plot, const Frame& f) {
  double slope = 0;
  for (const Roof& r : plot.roofs)
    if (r.slope) slope = r.rate;
  const double x_low = std::pow(10, f.x0), x_high = std::pow(10, f.x1);
  std::string out;
  for (const Roof& r : plot.roofs) {
    const double from = r.slope ? std::max(x_low, std::pow(10, f.y0) / r.rate)
                                : std::max(x_low, slope > 0 ? r.rate / slope : 0);
    const double to = r.slope ? ceiling_of(plot) / r.rate : x_high;
    if (from >= to) continue;
    const double y_from = r.slope ? from * r.rate : r.rate, y_to = r.slope ? to * r.rate : r.rate;
    out += fmt::format(
        "<line class=\"roof\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", f.x(from),
        f.y(y_from), f.x(to), f.y(y_to));
    if (r.slope) {
      const double dx = f.x(to) - f.x(from), dy = f.y(y_to) - f.y(y_from);
      out += fmt::format(
          "<text class=\"roof-name\" transform=\"translate({:.1f} {:.1f}) rotate({:.2f})\" "
          "dy=\"-8\">{}</text>",
          f.x(from) + 0.06 * dx, f.y(y_from) + 0.06 * dy, std::atan2(dy, dx) * 180 / M_PI,
          escape(r.label));
    } else {
      out += fmt::format("<text class=\"roof-name end\" x=\"{:g}\" y=\"{:.1f}\">{}</text>",
                         width - right - 2, f.y(r.rate) - 6, escape(r.label));
    }
  }
  return out;
}

/// The outline of a mark around the origin.
const char* outline(int shape) {
  constexpr std::array outlines = {"M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.6,-3.6h7.2v7.2h-7.2z",
                                   "M0,-4.8L4.4,3.4H-4.4z", "M0,-5L5,0L0,5L-5,0z"};
  return outlines[size_t(shape) % outlines.size()];
}

}  // namespace

std::string symbol(int shape, int colour) {
  return fmt::format(
      "<svg class=\"symbol\" viewBox=\"-6 -6 12 12\" aria-hidden=\"true\"><path class=\"mark k{}\" "
      "d=\"{}\"/></svg>",
      colour, outline(shape));
}

std::string with_prefix(double value) {
  if (value == 0) return "0";
  constexpr std::array prefixes = {"\u00b5", "m", "", " k", " M", " G", " T", " P", " E"};
  const int power = std::clamp(int(std::floor(std::log10(std::abs(value)) / 3 + 1e-9)), -2, 6);
  if (power < 0 && power >= -1) return fmt::format("{:.3g}", value);
  return fmt::format("{:.3g}{}", value / std::pow(1000, power), prefixes[size_t(power + 2)]);
}

std::string svg_of(const Plot& plot) {
  if (plot.marks.empty()) return "";
  const Frame f = frame_of(plot);
  std::string marks;
  for (const Mark& m : plot.marks)
    marks += fmt::format(
        "<path class=\"mark k{}{}{}\" data-row=\"{}\" transform=\"translate({:.1f} {:.1f})\" "
        "d=\"{}\"/>\n",
        m.colour, m.open ? " open" : "", m.wrong ? " wrong" : "", m.row, f.x(m.x), f.y(m.y),
        outline(m.shape));
  return fmt::format(
      "<figure class=\"plot\"><figcaption>{0}</figcaption>\n<div class=\"wide\"><svg "
      "viewBox=\"0 0 {1:g} {2:g}\" role=\"img\" aria-label=\"{0}: {3} rows\">{4}{5}\n{6}</svg>"
      "</div></figure>\n",
      escape(plot.title), width, height, plot.marks.size(), axes(plot, f), roofs(plot, f), marks);
}

}  // namespace kinema::tools::compare_page
