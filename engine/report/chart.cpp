#include "engine/report/chart.h"
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include "engine/report/html.h"

namespace kinema::engine::report {

namespace {

// The drawing in its own units, and the rectangle of the curves in it.
constexpr double width = 400, height = 216, left = 46, right = 8, top = 8, bottom = 38;

/// From values to the drawing.
struct Frame {
  double x0, x1, y0, y1;
  double x(double v) const { return left + (v - x0) / (x1 - x0) * (width - left - right); }
  double y(double v) const {
    return height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom);
  }
};

/// The ends of all points, widened to whole ticks along y.
Frame frame_of(const Chart& chart, const std::vector<std::vector<Curve::Point>>& curves) {
  Frame f{INFINITY, -INFINITY, INFINITY, -INFINITY};
  for (const auto& points : curves)
    for (const Curve::Point& p : points) {
      f.x0 = std::min(f.x0, p.x);
      f.x1 = std::max(f.x1, p.x);
      f.y0 = std::min(f.y0, p.y);
      f.y1 = std::max(f.y1, p.y);
    }
  if (f.x0 == f.x1) {
    f.x0 -= 0.5;
    f.x1 += 0.5;
  }
  if (chart.from_zero) f.y0 = std::min(f.y0, 0.0);
  const std::vector<double> marks = ticks(f.y0, f.y1, 4);
  f.y0 = marks.front();
  f.y1 = marks.back();
  return f;
}

std::string axes(const Chart& chart, const Frame& f) {
  std::string out;
  for (const double v : ticks(f.y0, f.y1, 4)) {
    if (v < f.y0 || v > f.y1) continue;
    out += fmt::format(
        "<line class=\"grid\" x1=\"{:g}\" x2=\"{:g}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"end\" x=\"{:g}\" y=\"{:.1f}\">{}</text>",
        left, width - right, f.y(v), f.y(v), left - 6, f.y(v) + 3.5, short_number(v, chart.unit));
  }
  for (const double v : ticks(f.x0, f.x1, 5)) {
    if (v < f.x0 || v > f.x1) continue;
    if (chart.x_unit == Unit::number && f.x1 - f.x0 > 1 && v != std::floor(v)) continue;
    out += fmt::format("<text class=\"mid\" x=\"{:.1f}\" y=\"{:g}\">{}</text>", f.x(v),
                       height - bottom + 15, short_number(v, chart.x_unit));
  }
  return out + fmt::format("<text class=\"mid name\" x=\"{:g}\" y=\"{:g}\">{}</text>",
                           (left + width - right) / 2, height - 6, escape(chart.x_name));
}

std::string polyline(const std::vector<Curve::Point>& points, const Frame& f, size_t colour) {
  std::string where, dots;
  for (const Curve::Point& p : points) {
    where += fmt::format("{}{:.2f},{:.2f}", where.empty() ? "" : " ", f.x(p.x), f.y(p.y));
    // Few points are seen as such; one alone makes no line.
    if (points.size() <= 30)
      dots += fmt::format("<circle class=\"c{}\" cx=\"{:.2f}\" cy=\"{:.2f}\" r=\"2.2\"/>", colour,
                          f.x(p.x), f.y(p.y));
  }
  return fmt::format("<polyline class=\"c{}\" points=\"{}\"/>{}", colour, where, dots);
}

const char* name_of(Unit unit) {
  constexpr std::array names = {"number", "percent", "bytes", "seconds"};
  return names[size_t(unit)];
}

}  // namespace

void Curve::add(double x, double y) {
  if (!std::isfinite(x) || !std::isfinite(y)) return;
  if (sums_.empty() || sums_.back().count == width_) {
    if (sums_.size() == most_ / 2 * 2) {
      for (size_t i = 0; i < sums_.size() / 2; ++i) {
        const Sum &a = sums_[2 * i], &b = sums_[2 * i + 1];
        sums_[i] = {a.x + b.x, a.y + b.y, a.count + b.count};
      }
      sums_.resize(sums_.size() / 2);
      width_ *= 2;
    }
    sums_.emplace_back();
  }
  sums_.back().x += x;
  sums_.back().y += y;
  ++sums_.back().count;
}

std::vector<Curve::Point> Curve::points() const {
  std::vector<Point> all;
  for (const Sum& s : sums_) all.push_back({s.x / double(s.count), s.y / double(s.count)});
  return all;
}

std::string short_number(double value, Unit unit) {
  if (!std::isfinite(value)) return "-";
  if (unit == Unit::percent) return fmt::format("{:.4g}%", 100 * value);
  if (unit == Unit::bytes)
    return value < 1e9 ? fmt::format("{:.4g} MB", value / 1e6)
                       : fmt::format("{:.4g} GB", value / 1e9);
  if (unit == Unit::seconds) {
    if (std::abs(value) < 0.1) return fmt::format("{:.4g} ms", value * 1e3);
    if (value < 180) return fmt::format("{:.4g} s", value);
    return value < 3 * 3600 ? fmt::format("{:.4g} min", value / 60)
                            : fmt::format("{:.4g} h", value / 3600);
  }
  const double size = std::abs(value);
  if (size >= 1e6 && size < 1e9) return fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e4 && size < 1e6) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

std::vector<double> ticks(double low, double high, int wanted) {
  // Labels have 4 digits: finer steps would read the same.
  const double size = std::max(std::abs(low), std::abs(high));
  const double span = high > low ? std::max(high - low, size * 2e-3) : size;
  const double rough = (span > 0 ? span : 1) / wanted;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.5, 2.0, 1.0})
    if (factor * power >= rough * 0.999) step = factor * power;
  double first = std::floor(low / step + 1e-6), last = std::ceil(high / step - 1e-6);
  if (first == last) last += 1;
  std::vector<double> all;
  for (double i = first; i <= last; i += 1) all.push_back(i * step);
  return all;
}

std::string svg_of(const Chart& chart) {
  std::vector<std::vector<Curve::Point>> points;
  std::string legend, said;
  int64_t mean = 1;
  for (const Curve& c : chart.curves) {
    if (c.points().empty()) continue;
    points.push_back(c.points());
    mean = std::max(mean, c.per_point());
    legend += fmt::format("<span class=\"key c{}\">{}</span>", points.size(), escape(c.name()));
    said +=
        fmt::format("; {}: last {}", c.name(), short_number(points.back().back().y, chart.unit));
  }
  if (points.empty()) return "";
  const Frame f = frame_of(chart, points);
  if (points.size() == 1) legend.clear();  // the title says it
  std::string lines;
  for (size_t i = 0; i < points.size(); ++i) lines += polyline(points[i], f, i + 1);
  return fmt::format(
      "<figure class=\"chart\"><figcaption>{}<span class=\"keys\">{}</span></figcaption>\n"
      "<svg viewBox=\"0 0 {:g} {:g}\" role=\"img\" aria-label=\"{}\" data-frame=\"{} {} {} {}\" "
      "data-box=\"{:g} {:g} {:g} {:g}\" data-unit=\"{}\" data-xunit=\"{}\" data-x=\"{}\">{}{}"
      "</svg>{}</figure>\n",
      escape(chart.title), legend, width, height, escape(chart.title + said, 1000), f.x0, f.x1,
      f.y0, f.y1, left, width - right, top, height - bottom, name_of(chart.unit),
      name_of(chart.x_unit), escape(chart.x_name), axes(chart, f), lines,
      mean > 1 ? fmt::format("<p class=\"note\">each point is the mean of {}</p>", mean) : "");
}

}  // namespace kinema::engine::report
