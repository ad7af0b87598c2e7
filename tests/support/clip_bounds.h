#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>
#include "kernels/base/view.h"
#include "kernels/clip_transform/clip_transform_options.h"

namespace kinema::test {

/// The shares of one output of an axis, as clip_transform's contract has them.
inline std::vector<double> shares_of(int64_t o, int64_t from, int64_t to) {
  const double scale = double(from) / double(to), reach = std::max(1., scale);
  std::vector<double> shares;
  double sum = 0;
  for (int64_t i = 0; i < from; ++i) {
    shares.push_back(
        std::max(0., 1 - std::abs(double(i) + 0.5 - (double(o) + 0.5) * scale) / reach));
    sum += shares.back();
  }
  for (double& s : shares) s /= sum;
  return shares;
}

/// Whether a colour of pixel (y, x) of the window of `frame` (u8 [1,1,H,W,3]), scaled to height x
/// width, lies so near to the middle of two levels that sums in f32 may round it to either.
inline bool near_a_tie(const kernels::ClipPlan& p, const kernels::View& frame, int64_t height,
                       int64_t width, int64_t y, int64_t x) {
  if (!p.scales()) return false;
  const std::vector<double> down = shares_of(y, p.height, height),
                            across = shares_of(x, p.width, width);
  const auto taps =
      double(std::count_if(down.begin(), down.end(), [](double s) { return s > 0; }) +
             std::count_if(across.begin(), across.end(), [](double s) { return s > 0; }));
  // A sum of numbers up to 255 rounds once a term, each share a few times.
  const double near = 255 * 0x1p-24 * 2 * (taps + 4);
  for (int64_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < p.height; ++i)
      for (int64_t j = 0; down[size_t(i)] > 0 && j < p.width; ++j) {
        const int64_t at = (p.top + i) * frame.stride(2) + 3 * (p.left + j) + c;
        sum +=
            down[size_t(i)] * across[size_t(j)] * double(kernels::data<const uint8_t>(frame)[at]);
      }
    if (std::abs(sum - std::floor(sum) - 0.5) < near) return true;
  }
  return false;
}

/// How far each pixel of one frame of a clip, row-major, may lie from the reference's, before it is
/// rounded to the clip's type.
inline std::vector<double> clip_bounds(const kernels::ClipTransformOptions& o,
                                       const kernels::ClipPlan& p, const kernels::View& frame,
                                       int64_t height, int64_t width) {
  const kernels::ColourChange& c = p.colour;
  const bool coloured = c != kernels::ColourChange{};
  const double least = *std::min_element(o.deviation.begin(), o.deviation.end());
  // Cut out: a gain, a product and a sum that round, of numbers up to 1 / deviation; twice that. A
  // change of colours rounds some ten times, and clamps to 1; contrast and saturation magnify what
  // came before by |f| + |1 - f|, the hue by 6.
  double slope = 1;
  for (double f : {c.brightness, c.contrast, c.saturation})
    slope *= std::max(1., std::abs(f) + std::abs(1 - f));
  if (c.hue != 0) slope *= 6;
  const double base = (coloured ? 40 * slope : 6) * 0x1p-24 / least;
  std::vector<double> bounds;
  double ties = 0;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const bool tie = near_a_tie(p, frame, height, width, y, p.mirrored ? width - 1 - x : x);
      bounds.push_back(base + (tie ? slope / 255 / least : 0));
      ties += tie;
    }
  // A level more or less moves the mean grey.
  if (c.contrast != 1)
    for (double& b : bounds) b += ties * slope / 255 / least / double(height * width);
  return bounds;
}

}  // namespace kinema::test
