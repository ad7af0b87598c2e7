#pragma once
#include <vector>
#include "kernels/base/view.h"
#include "kernels/clip_transform/clip_transform_options.h"

namespace kinema::kernels {

struct ClipTransformCase {
  const char* tag;   ///< ci: run by the tests; full: by benchmarks
  const char* what;  ///< one word or two
  Shape frames;
  int64_t height, width;        ///< of the clip
  std::vector<ClipPlan> plans;  ///< of clip n: plans[n % size]
};

/// All four changes at once, as training draws them.
inline const ColourChange jitter = {
    .brightness = 1.3, .contrast = 0.7, .saturation = 1.4, .hue = -0.08, .order = {2, 0, 3, 1}};

/// Edges first, then windows cut out, scaled up and down by little and by much, mirrored, with
/// changed colours; then clips of UCF101 and of Kinetics.
inline const std::vector<ClipTransformCase> clip_transform_cases = {
    {"ci", "one pixel", {1, 1, 1, 1, 3}, 1, 1, {{}}},
    {"ci", "no clips", {0, 2, 4, 4, 3}, 2, 2, {{}}},
    {"ci", "no frames", {2, 0, 4, 4, 3}, 2, 2, {{}}},
    {"ci", "no rows", {1, 1, 4, 4, 3}, 0, 3, {{}}},
    {"ci", "no columns", {1, 1, 4, 4, 3}, 3, 0, {{.colour = jitter}}},
    {"ci",
     "cut out",
     {3, 2, 9, 31, 3},
     5,
     17,
     {{.top = 1, .left = 2},
      {.top = 4, .left = 14, .mirrored = true},
      {.colour = {.brightness = 0.6}}}},
    {"ci",
     "wide",
     {2, 1, 70, 300, 3},
     67,
     275,
     {{.top = 3, .left = 5, .colour = jitter}, {.top = 1, .left = 25, .mirrored = true}}},
    {"ci",
     "scaled up",
     {2, 1, 9, 12, 3},
     23,
     37,
     {{.top = 2, .left = 3, .height = 4, .width = 5},
      {.height = 9, .width = 1, .mirrored = true, .colour = {.saturation = 0.3}}}},
    {"ci",
     "scaled down",
     {3, 2, 40, 90, 3},
     13,
     34,
     {{.height = 40, .width = 90, .mirrored = true},
      {.top = 7, .left = 21, .height = 29, .width = 60, .colour = jitter},
      {.top = 1, .left = 2, .height = 13, .width = 34}}},
    {"ci",
     "far down",
     {2, 1, 150, 131, 3},
     1,
     2,
     {{.height = 150, .width = 131}, {.top = 11, .height = 9, .width = 130, .mirrored = true}}},
    {"ci",
     "up and down",
     {2, 1, 20, 100, 3},
     70,
     36,
     {{.top = 3, .left = 1, .height = 17, .width = 99, .colour = jitter},
      {.left = 50, .height = 20, .width = 7}}},
    {"full", "cut out", {8, 16, 256, 340, 3}, 224, 224, {{.top = 16, .left = 58}}},
    {"full",
     "mirrored",
     {8, 16, 256, 340, 3},
     224,
     224,
     {{.top = 16, .left = 58, .mirrored = true}}},
    {"full",
     "scaled",
     {8, 16, 256, 340, 3},
     224,
     224,
     {{.top = 5, .left = 31, .height = 240, .width = 290}}},
    {"full",
     "scaled by half",
     {8, 16, 256, 340, 3},
     112,
     112,
     {{.top = 5, .left = 31, .height = 240, .width = 290}}},
    {"full",
     "brighter, stronger",
     {8, 16, 256, 340, 3},
     224,
     224,
     {{.top = 16, .left = 58, .colour = {.brightness = 1.3, .saturation = 0.7}}}},
    {"full", "jitter", {8, 16, 256, 340, 3}, 224, 224, {{.top = 16, .left = 58, .colour = jitter}}},
    {"full",
     "scaled, jitter",
     {8, 16, 256, 340, 3},
     224,
     224,
     {{.top = 5, .left = 31, .height = 240, .width = 290, .colour = jitter}}},
};

/// A plan for each clip of a case.
inline std::vector<ClipPlan> plans_of(const ClipTransformCase& c) {
  std::vector<ClipPlan> plans;
  for (int64_t n = 0; n < c.frames[0]; ++n) plans.push_back(c.plans[size_t(n) % c.plans.size()]);
  return plans;
}

}  // namespace kinema::kernels
