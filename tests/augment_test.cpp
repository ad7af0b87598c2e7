#include "engine/data/augment.h"
#include <set>
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using namespace kinema::engine::video;

/// u8 [1,1,height,width,3] of noise, the same each time.
Tensor noise(int64_t height, int64_t width) {
  const Tensor values = random({height * width * 3}, 5, Dtype::f32, 0, 256);
  const Tensor t = empty({1, 1, height, width, 3}, Dtype::u8);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width * 3; ++x)
      data<uint8_t>(t)[y * t.layout.stride(2) + x] =
          uint8_t(data<float>(values)[y * width * 3 + x]);
  return t;
}

Tensor scaled(const Tensor& from, Corner corner, FrameSize window, FrameSize to) {
  const Tensor t = empty({1, 1, to.height, to.width, 3}, Dtype::u8);
  scale_window(from.view(), corner, window, t.view());
  return t;
}

TEST(Augment, AWindowOfTheSameSizeIsCutOut) {
  const Tensor from = noise(9, 12), to = scaled(from, {2, 3}, {5, 7}, {5, 7});
  for (int64_t y = 0; y < 5; ++y)
    for (int64_t x = 0; x < 21; ++x)
      EXPECT_EQ(data<uint8_t>(to)[y * to.layout.stride(2) + x],
                data<uint8_t>(from)[(2 + y) * from.layout.stride(2) + 9 + x]);
}

TEST(Augment, ScalingIsBilinearAndSeesTheWindowAlone) {
  // A row of 0, 100 doubled: outputs lie at -0.25, 0.25, 0.75, 1.25 of it.
  const Tensor row =
      from_vector<uint8_t>({1, 1, 1, 4, 3}, {255, 255, 255, 0, 0, 0, 100, 100, 100, 255, 255, 255});
  const std::vector<uint8_t> up = to_vector<uint8_t>(scaled(row, {0, 1}, {1, 2}, {1, 4}));
  EXPECT_EQ(up, (std::vector<uint8_t>{0, 0, 0, 25, 25, 25, 75, 75, 75, 100, 100, 100}));
  // Halved: the triangle spans 4 inputs, shares 1/8 3/8 3/8 1/8, cut off at the edge.
  const Tensor wide =
      from_vector<uint8_t>({1, 1, 1, 4, 3}, {0, 8, 80, 0, 16, 80, 0, 24, 80, 0, 32, 80});
  const std::vector<uint8_t> down = to_vector<uint8_t>(scaled(wide, {}, {1, 4}, {1, 2}));
  // (3 * 8 + 3 * 16 + 24) / 7 = 13.7, (16 + 3 * 24 + 3 * 32) / 7 = 26.3.
  EXPECT_EQ(down, (std::vector<uint8_t>{0, 14, 80, 0, 26, 80}));
  EXPECT_EQ(refusal([&] {
              scaled(wide, {0, 1}, {1, 4}, {1, 2});
            }),
            "scale: a part of 1x4 at 0,1 leaves [1,1,1,4,3]");
}

/// A frame of f32 pixels after one change.
std::vector<float> changed(const std::vector<float>& pixels, const ColourChange& c) {
  const Tensor t = from_vector<float>({1, 1, 1, int64_t(pixels.size() / 3), 3}, pixels);
  change_colours(c, t.view());
  return to_vector<float>(t);
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6) << i;
}

TEST(Augment, ColoursChangeAsTheFormulasSay) {
  const std::vector<float> v{0.5f, 0.25f, 0.f, 0.75f, 0.75f, 0.75f};
  const double grey = 0.2989 * 0.5 + 0.587 * 0.25, white = 0.75 * (0.2989 + 0.587 + 0.114);
  const double mean = (grey + white) / 2;
  EXPECT_EQ(changed(v, {}), v);
  expect_near(changed(v, {.brightness = 1.6}), {0.8, 0.4, 0, 1, 1, 1});
  expect_near(changed(v, {.contrast = 0.5}),
              {(0.5 + mean) / 2, (0.25 + mean) / 2, mean / 2, (0.75 + mean) / 2, (0.75 + mean) / 2,
               (0.75 + mean) / 2});
  expect_near(changed(v, {.saturation = 0}), {grey, grey, grey, white, white, white});
  // Red by a third of a turn is green, by half a turn cyan; grey has no hue.
  expect_near(changed({1, 0, 0}, {.hue = 1. / 3}), {0, 1, 0});
  expect_near(changed({1, 0, 0}, {.hue = 0.5}), {0, 1, 1});
  expect_near(changed({0.5f, 0.5f, 0.5f}, {.hue = 0.3}), {0.5, 0.5, 0.5});
  expect_near(changed({0, 0, 0}, {.hue = 0.3}), {0, 0, 0});
  // The order matters: clamped at 1 before or after.
  const ColourChange first{.brightness = 2, .saturation = 0, .order = {0, 2, 1, 3}};
  const ColourChange last{.brightness = 2, .saturation = 0, .order = {2, 0, 1, 3}};
  expect_near(changed({0.75f, 0, 0}, first), {0.2989, 0.2989, 0.2989});
  expect_near(changed({0.75f, 0, 0}, last), {0.44835, 0.44835, 0.44835});
}

TEST(Augment, ShownFramesAreChangedBeforeTheyAreNormalised) {
  const Tensor frame = noise(8, 8);
  const Recipe r{.height = 4, .width = 4, .mean = {0.1, 0.2, 0.3}, .deviation = {0.5, 0.25, 2}};
  const Recipe plain{.height = 4, .width = 4, .mean = {0, 0, 0}, .deviation = {1, 1, 1}};
  ViewPlan plan{.corner = {1, 2}, .mirrored = true};
  plan.colour = {.brightness = 0.5, .hue = 0.25};
  const Tensor got = full({1, 1, 4, 4, 3}, -9), want = full({1, 1, 4, 4, 3}, -9);
  show(frame.view(), r, plan, got.view());
  normalise(frame.view(), plain, {1, 2}, true, want.view());
  change_colours(plan.colour, want.view());
  const std::vector<float> a = to_vector<float>(got), b = to_vector<float>(want);
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(a[i], (double(b[i]) - r.mean[i % 3]) / r.deviation[i % 3], 1e-6);
}

TEST(Augment, ResizedCropsFollowTheirRanges) {
  const FrameSize frame{120, 160};
  const Recipe r{.frames = 4, .height = 32, .width = 32, .resized_crop = true, .area = {0.2, 0.6}};
  double least = 1, most = 0, narrow = 9, wide = 0;
  std::set<int64_t> places;
  for (int64_t i = 0; i < 2000; ++i) {
    const ViewPlan p = training_view(10, frame, r, sample_key(1, 0, i));
    ASSERT_TRUE(p.corner.y >= 0 && p.corner.y + p.window.height <= 120);
    ASSERT_TRUE(p.corner.x >= 0 && p.corner.x + p.window.width <= 160);
    const double area = double(p.window.height * p.window.width) / (120 * 160);
    const double aspect = double(p.window.width) / double(p.window.height);
    least = std::min(least, area), most = std::max(most, area);
    narrow = std::min(narrow, aspect), wide = std::max(wide, aspect);
    places.insert(p.corner.x);
    EXPECT_EQ(training_view(10, frame, r, sample_key(1, 0, i)).window, p.window);
  }
  // Rounding to whole pixels moves an area of 0.2 by at most 2 %.
  EXPECT_NEAR(least, 0.2, 0.006);
  EXPECT_NEAR(most, 0.6, 0.02);
  EXPECT_NEAR(narrow, 0.75, 0.02);
  EXPECT_NEAR(wide, 4. / 3, 0.03);
  EXPECT_GT(places.size(), 60u);
  // What never fits comes from the middle, as large as the aspect allows.
  const ViewPlan p = training_view(
      10, {20, 200},
      {.frames = 4, .height = 16, .width = 16, .resized_crop = true, .area = {0.9, 1}},
      sample_key(1, 0, 0));
  EXPECT_EQ(p.window, (FrameSize{20, 27}));
  EXPECT_EQ(p.corner, (Corner{0, 86}));
}

TEST(Augment, ScaleJitterCutsWhatTheDrawnScaleWouldShow) {
  const Recipe r{
      .frames = 4, .short_side = 40, .height = 32, .width = 32, .scale_jitter = {40, 80}};
  std::set<int64_t> heights;
  for (int64_t i = 0; i < 2000; ++i) {
    const ViewPlan p = training_view(10, {40, 60}, r, sample_key(1, 0, i));
    heights.insert(p.window.height);
    EXPECT_EQ(p.window.height, p.window.width);
    ASSERT_LE(p.corner.x + p.window.width, 60);
  }
  EXPECT_EQ(*heights.begin(), 16);   // 32 * 40 / 80
  EXPECT_EQ(*heights.rbegin(), 32);  // 32 * 40 / 40
  EXPECT_EQ(heights.size(), 17u);
}

TEST(Augment, ColoursAreDrawnWithinTheirRanges) {
  const Recipe r{.frames = 4, .height = 8, .width = 8, .colour_jitter = {0.4, 1.5, 0, 0.1}};
  std::set<std::array<int, 4>> orders;
  double dark = 2, flat = 3, strong = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    const ColourChange c = training_view(10, {8, 8}, r, sample_key(1, 0, i)).colour;
    orders.insert(c.order);
    dark = std::min(dark, c.brightness);
    flat = std::min(flat, c.contrast), strong = std::max(strong, c.contrast);
    EXPECT_EQ(c.saturation, 1);
    EXPECT_LE(std::abs(c.hue), 0.1);
  }
  EXPECT_EQ(orders.size(), 24u);
  // 2000 uniform draws: the outermost are within 1 % of the range but once in 10^8.
  EXPECT_NEAR(dark, 0.6, 0.008);
  EXPECT_NEAR(flat, 0, 0.025);
  EXPECT_NEAR(strong, 2.5, 0.025);
}

TEST(Augment, RecipesThatMakeNoSenseAreRefused) {
  const auto said = [](Recipe r) {
    r.height = r.width = 8;
    return refusal([&] { check_recipe(r); });
  };
  EXPECT_EQ(said({.area = {0, 1}}), "recipe: area must ascend within (0, 1], got 0 to 1");
  EXPECT_EQ(said({.area = {0.5, 0.4}}), "recipe: area must ascend within (0, 1], got 0.5 to 0.4");
  EXPECT_EQ(said({.aspect = {2, 1}}), "recipe: aspect must ascend from above 0, got 2 to 1");
  EXPECT_EQ(said({.scale_jitter = {4, 20}}),
            "recipe: scale_jitter must ascend from the crop's longer side, 8, to at most 16384 "
            "pixels, got 4 to 20");
  EXPECT_EQ(said({.resized_crop = true, .scale_jitter = {8, 20}}),
            "recipe: take either resized_crop or scale_jitter");
  EXPECT_EQ(said({.colour_jitter = {-1, 0, 0, 0}}),
            "recipe: colour_jitter must not be negative, got -1");
  EXPECT_EQ(said({.colour_jitter = {0, 0, 0, 0.6}}),
            "recipe: the hue's colour_jitter is at most 0.5 turns, got 0.6");
}

}  // namespace
}  // namespace kinema::test
