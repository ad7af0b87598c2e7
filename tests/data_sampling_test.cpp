#include <algorithm>
#include <nlohmann/json.hpp>
#include "engine/data/sampling.h"
#include "engine/data/transform.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using namespace kinema::engine::video;
using Frames = std::vector<int64_t>;

TEST(Sampling, TrainingStartsAreUniform) {
  // 10 frames, 3 apart by 2: starts 0 to 5.
  int64_t count[6] = {};
  Draws draws({1, 1});
  for (int i = 0; i < 6000; ++i) {
    const Frames f = training_frames(10, 3, 2, draws);
    ASSERT_EQ(f.size(), 3u);
    ASSERT_TRUE(f[0] >= 0 && f[0] < 6 && f[1] == f[0] + 2 && f[2] == f[0] + 4);
    ++count[f[0]];
  }
  // Binomial: 1000 of 6000, standard deviation 29; 5 of them.
  for (int64_t c : count) EXPECT_NEAR(double(c), 1000, 145);
}

TEST(Sampling, TestingStartsAreEvenlySpaced) {
  EXPECT_EQ(testing_frames(10, 4, 1, 0, 1), (Frames{3, 4, 5, 6}));
  EXPECT_EQ(testing_frames(10, 4, 1, 0, 3), (Frames{0, 1, 2, 3}));
  EXPECT_EQ(testing_frames(10, 4, 1, 1, 3), (Frames{3, 4, 5, 6}));
  EXPECT_EQ(testing_frames(10, 4, 1, 2, 3), (Frames{6, 7, 8, 9}));
  EXPECT_EQ(testing_frames(4, 4, 1, 1, 2), (Frames{0, 1, 2, 3}));
  EXPECT_EQ(testing_frames(9, 3, 4, 0, 1), (Frames{0, 4, 8}));
}

TEST(Sampling, ShortVideosLoop) {
  EXPECT_EQ(testing_frames(3, 5, 1, 0, 1), (Frames{0, 1, 2, 0, 1}));
  EXPECT_EQ(testing_frames(1, 3, 2, 1, 2), (Frames{0, 0, 0}));
  Draws draws({1, 1});
  EXPECT_EQ(training_frames(2, 4, 1, draws), (Frames{0, 1, 0, 1}));
  EXPECT_EQ(refusal([&] { training_frames(0, 4, 1, draws); }), "sampling: the video has no frames");
  EXPECT_EQ(refusal([&] { testing_frames(4, 4, 0, 0, 1); }),
            "sampling: frames and stride must be positive, got 4 and 0");
}

TEST(Sampling, CropsLieAlongTheLongSide) {
  const FrameSize wide{64, 100}, tall{90, 64}, crop{64, 64};
  EXPECT_EQ(even_crop(wide, crop, 0, 1), (Corner{0, 18}));
  EXPECT_EQ(even_crop(wide, crop, 0, 3), (Corner{0, 0}));
  EXPECT_EQ(even_crop(wide, crop, 1, 3), (Corner{0, 18}));
  EXPECT_EQ(even_crop(wide, crop, 2, 3), (Corner{0, 36}));
  EXPECT_EQ(even_crop(tall, crop, 0, 3), (Corner{0, 0}));
  EXPECT_EQ(even_crop(tall, crop, 2, 3), (Corner{26, 0}));
  EXPECT_EQ(even_crop({70, 80}, crop, 2, 3), (Corner{3, 16}));
  EXPECT_EQ(refusal([&] { even_crop(crop, wide, 0, 1); }),
            "sampling: a crop of 64x100 does not fit a frame of 64x64");
}

TEST(Sampling, RandomCropsReachEveryPlace) {
  Draws draws({2, 2});
  bool seen[3][4] = {};
  for (int i = 0; i < 500; ++i) {
    const Corner c = random_crop({10, 9}, {8, 6}, draws);
    ASSERT_TRUE(c.y >= 0 && c.y <= 2 && c.x >= 0 && c.x <= 3);
    seen[c.y][c.x] = true;
  }
  for (const auto& row : seen)
    for (bool s : row) EXPECT_TRUE(s);
}

TEST(Sampling, DrawsDependOnTheirKeyAlone) {
  const auto first = [](uint64_t seed, int64_t epoch, int64_t sample) {
    return Draws(sample_key(seed, epoch, sample)).unit();
  };
  EXPECT_EQ(first(1, 2, 3), first(1, 2, 3));
  EXPECT_NE(first(1, 2, 3), first(1, 2, 4));
  EXPECT_NE(first(1, 2, 3), first(1, 3, 3));
  EXPECT_NE(first(1, 2, 3), first(2, 2, 3));
}

TEST(Sampling, ShufflesDifferentlyEachEpoch) {
  Frames a = shuffled(100, 1, 0);
  EXPECT_EQ(a, shuffled(100, 1, 0));
  EXPECT_NE(a, shuffled(100, 1, 1));
  EXPECT_NE(a, shuffled(100, 2, 0));
  std::sort(a.begin(), a.end());
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(a[size_t(i)], i);
}

TEST(Recipe, ResizesByTheShortSide) {
  EXPECT_EQ(resized({240, 320}, {.short_side = 0, .height = 112, .width = 112}),
            (FrameSize{240, 320}));
  EXPECT_EQ(resized({240, 320}, {.short_side = 128, .height = 112, .width = 112}),
            (FrameSize{128, 171}));
  EXPECT_EQ(resized({320, 240}, {.short_side = 128, .height = 112, .width = 112}),
            (FrameSize{171, 128}));
  // Too small for the crop: scaled up to hold it.
  EXPECT_EQ(resized({48, 64}, {.height = 64, .width = 64}), (FrameSize{64, 85}));
  EXPECT_EQ(resized({240, 240}, {.short_side = 64, .height = 64, .width = 128}),
            (FrameSize{128, 128}));
}

TEST(Recipe, GoesThroughJson) {
  const Recipe r{.frames = 8,
                 .frame_stride = 4,
                 .short_side = 128,
                 .height = 112,
                 .width = 96,
                 .random_crop = false,
                 .resized_crop = true,
                 .area = {0.25, 0.5},
                 .aspect = {0.5, 2},
                 .flip = true,
                 .colour_jitter = {0.1, 0.2, 0.3, 0.4},
                 .loop = false,
                 .mean = {0.1, 0.2, 0.3},
                 .deviation = {1, 2, 3},
                 .clips = 10,
                 .crops = 3};
  EXPECT_EQ(nlohmann::json::parse(nlohmann::json(r).dump()).get<Recipe>(), r);
  EXPECT_EQ(nlohmann::json::object().get<Recipe>(), Recipe{});
  const auto said = [](const nlohmann::json& j) { return refusal([&] { j.get<Recipe>(); }); };
  EXPECT_EQ(said({{"frmes", 3}}), "recipe: unknown field frmes");
  EXPECT_EQ(said({{"crops", 0}}), "recipe: clips and crops must be positive, got 1 and 0");
  EXPECT_TRUE(said({{"frames", "many"}}).starts_with("recipe: "));
}

/// Frame whose red, green and blue tell the place.
Tensor places(int64_t height, int64_t width) {
  Tensor t = empty({1, 1, height, width, 3}, Dtype::u8);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      uint8_t* pixel = data<uint8_t>(t) + y * t.layout.stride(2) + 3 * x;
      pixel[0] = uint8_t(y), pixel[1] = uint8_t(x), pixel[2] = 255;
    }
  return t;
}

TEST(Recipe, CropsMirrorsAndNormalises) {
  const Tensor frame = places(9, 11);
  const Recipe r{.height = 4, .width = 5, .mean = {0.5, 0.25, 0}, .deviation = {0.5, 0.25, 2}};
  for (bool mirrored : {false, true}) {
    Tensor to = full({1, 1, 4, 5, 3}, -9);
    normalise(frame.view(), r, {3, 2}, mirrored, to.view());
    const std::vector<float> got = to_vector<float>(to);
    for (int64_t y = 0; y < 4; ++y)
      for (int64_t x = 0; x < 5; ++x) {
        const float* pixel = &got[size_t((y * 5 + x) * 3)];
        const double u = double(2 + (mirrored ? 4 - x : x));
        // One multiplication and one addition in f32, on values up to 1.
        EXPECT_NEAR(pixel[0], (double(3 + y) / 255 - 0.5) / 0.5, 2 * 0x1p-23);
        EXPECT_NEAR(pixel[1], (u / 255 - 0.25) / 0.25, 2 * 0x1p-23);
        EXPECT_NEAR(pixel[2], 0.5, 2 * 0x1p-23);
      }
  }
  Tensor to = full({1, 1, 4, 5, 3}, 0);
  EXPECT_EQ(refusal([&] {
              normalise(frame.view(), r, {6, 0}, false, to.view());
            }),
            "normalise: [1,1,4,5,3] at 6,0 leaves [1,1,9,11,3]");
}

TEST(Recipe, ViewsAreClipsTimesCrops) {
  const Recipe r{.frames = 4, .height = 8, .width = 8, .clips = 2, .crops = 3};
  EXPECT_EQ(r.views(), 6);
  const ViewPlan p = testing_view(10, {8, 20}, r, 4);
  EXPECT_EQ(p.frames, (Frames{6, 7, 8, 9}));
  EXPECT_EQ(p.corner, (Corner{0, 6}));
  EXPECT_FALSE(p.mirrored);
}

TEST(Recipe, FlipsHalfOfTheTrainingClipsOnRequest) {
  for (bool flip : {false, true}) {
    const Recipe r{.frames = 4, .height = 8, .width = 8, .flip = flip};
    int64_t mirrored = 0;
    for (int64_t i = 0; i < 400; ++i)
      mirrored += training_view(10, {8, 20}, r, sample_key(1, 0, i)).mirrored;
    // Binomial: standard deviation 10.
    EXPECT_NEAR(double(mirrored), flip ? 200 : 0, flip ? 50 : 0);
  }
}

}  // namespace
}  // namespace kinema::test
