#include <algorithm>
#include <cmath>
#include "kernels/clip_transform/clip_transform.h"
#include "kernels/clip_transform/clip_transform_cases.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

namespace {

using kernels::ClipPlan, kernels::ClipTransform, kernels::ClipTransformCase;

/// By how much changes of colours magnify what a pixel errs by: contrast and saturation by
/// |f| + |1 - f|, the hue by 6.
double slope_of(const kernels::ColourChange& c) {
  double slope = c.hue != 0 ? 6 : 1;
  for (double f : {c.brightness, c.contrast, c.saturation})
    slope *= std::max(1.0, std::abs(f) + std::abs(1 - f));
  return slope;
}

/// Cut out: a gain, a product and a sum that round; changes of colours round some ten times. Where
/// a sum of shares lies near the middle of two levels, f32 may round it to the other one; half as
/// much again, since errors are relative to the largest pixel, which may stay below 1.
double bound_of(const ClipPlan& p) {
  const bool coloured = p.colour != kernels::ColourChange{};
  const double rounding = coloured ? 20 * slope_of(p.colour) : 3;
  return rounding * f32_epsilon + (p.scales() ? 1.5 * slope_of(p.colour) / 255 : 0);
}

/// "scaled, jitter" is case=scaled-jitter.
std::string text_of(const ClipTransformCase& c) {
  std::string name = c.what;
  std::erase(name, ',');
  std::replace(name.begin(), name.end(), ' ', '-');
  return "case=" + name;
}

void add(const Request& r, const ClipTransformCase& c, std::vector<Trial>& all) {
  const Dtype type = dtype_of(r.precision);
  const std::vector<ClipPlan> plans = plans_of(c);
  const Shape clip{c.frames[0], c.frames[1], c.height, c.width, 3};
  double bound = 0;
  int64_t window = 0;  // pixels of one frame of every clip
  for (const ClipPlan& p : plans) {
    bound = std::max(bound, bound_of(p));
    window += p.scales() ? p.height * p.width : c.height * c.width;
  }
  Trial t{.pass = "forward",
          .precision = r.precision,
          .shape = text_of(c),
          .name = c.what,
          .reason = "roundings in f32; a level of 255 where frames are scaled"};
  // Of the frames only windows are read.
  t.more_bytes = 3 * window * c.frames[1] - c.frames.size();
  all.push_back(t.reads("frames", c.frames, Dtype::u8, 0, 256)
                    .writes("clip", clip, type, bound)
                    .runs(&ClipTransform::forward, [plans](auto f, Stream s, const Views& v) {
                      f(s, {}, plans, v[0], v[1]);
                    }));
}

std::vector<Trial> make(const Request& r) {
  std::vector<Trial> all;
  if (r.precision == Precision::tf32) return all;
  for (const ClipTransformCase& c : kernels::clip_transform_cases)
    if (r.by_hand() ? r.shapes == text_of(c) : r.wants(c.tag)) add(r, c, all);
  kernels::check(!r.by_hand() || !all.empty(),
                 "clip_transform: expected case=NAME of its table of cases, got '", r.shapes, "'");
  return all;
}

}  // namespace

extern const Trials clip_transform_trial;
const Trials clip_transform_trial = {"clip_transform", constant_of<kernels::clip_transform>, make};

}  // namespace kinema::tools::compare
