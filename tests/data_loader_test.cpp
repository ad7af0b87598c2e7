#include <unistd.h>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>
#include "engine/data/loader.h"
#include "engine/data/video_writer.h"
#include "engine/ops/clip_transform.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

/// 11 videos of three classes: 24 + sample frames of 24x32, whose level tells sample and frame.
class LoaderTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    root_ = fs::temp_directory_path() / ("kinema_loader_" + std::to_string(::getpid()));
    fs::create_directories(root_);
    for (int64_t i = 0; i < 11; ++i) {
      const std::string path = (root_ / (std::to_string(i) + ".mp4")).string();
      VideoWriter writer(path, 24, 32, {.quality = 0, .key_distance = 8, .full_colour = true});
      for (int64_t f = 0; f < 24 + i; ++f)
        writer.write(full({1, 1, 24, 32, 3}, double(level(i, f)), Dtype::u8).view());
      writer.close();
      set_.samples.push_back({path, i % 3});
    }
    for (uint64_t i = 0; i < 5; ++i) {
      const std::string path = (root_ / ("noise" + std::to_string(i) + ".mp4")).string();
      VideoWriter writer(path, 24, 32, {.quality = 0, .full_colour = true});
      for (uint64_t f = 0; f < 7; ++f)
        writer.write(random({1, 1, 24, 32, 3}, 7 * i + f, Dtype::u8, 0, 256).view());
      writer.close();
      noise_.samples.push_back({path, int64_t(i % 2)});
    }
    set_.classes = noise_.classes = {"a", "b", "c"};
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static int64_t level(int64_t sample, int64_t frame) { return 20 + sample * 15 + frame * 2; }

  static Recipe small() {
    return {.frames = 4, .height = 16, .width = 16, .mean = {0, 0, 0}, .deviation = {1, 1, 1}};
  }

  /// Everything that `epochs` epochs give, one after another.
  struct All {
    std::vector<std::vector<float>> clips;
    std::vector<std::vector<int64_t>> labels, index;
    bool operator==(const All&) const = default;
  };
  static All all(const Recipe& recipe, const LoaderOptions& options, int64_t epochs,
                 const Dataset& set = set_) {
    Loader loader(set, recipe, options);
    All a;
    Batch batch;
    for (int64_t e = 0; e < epochs; ++e)
      for (loader.start_epoch(e); loader.next(batch);) {
        a.clips.push_back(to_vector<float>(batch.clips));
        a.labels.push_back(to_vector<int64_t>(batch.labels));
        a.index.push_back(batch.index);
      }
    return a;
  }

  static inline fs::path root_;
  static inline Dataset set_;
  static inline Dataset noise_;  // 5 videos of 7 frames, no pixel like the next
};

TEST_F(LoaderTest, GivesTheFramesOfTheSamples) {
  const All a = all(small(), {.batch = 4}, 1);
  ASSERT_EQ(a.clips.size(), 3u);
  EXPECT_EQ(a.index[2], (std::vector<int64_t>{8, 9, 10}));
  EXPECT_EQ(a.labels[1], (std::vector<int64_t>{1, 2, 0, 1}));
  for (int64_t i = 0; i < 11; ++i)
    for (int64_t t = 0; t < 4; ++t) {
      // One clip lies in the middle: total 24 + i, room 20 + i.
      const int64_t frame = (20 + i) / 2 + t;
      const float got = a.clips[size_t(i / 4)][size_t((i % 4 * 4 + t) * 16 * 16 * 3)];
      // YCbCr of 8 bits: a grey level comes back within 1.
      EXPECT_NEAR(got * 255, double(level(i, frame)), 1.01) << i << ", " << t;
    }
}

TEST_F(LoaderTest, DoesNotDependOnThreadsMemoryOrCache) {
  const Recipe recipe = small();
  const LoaderOptions base{
      .batch = 3, .training = true, .shuffle = true, .seed = 5, .threads = 1, .cache_bytes = 0};
  const All want = all(recipe, base, 3);
  ASSERT_EQ(want.clips.size(), 12u);
  EXPECT_NE(want.index[0], want.index[4]) << "epochs must differ in order";
  LoaderOptions o = base;
  o.threads = 3;
  EXPECT_EQ(all(recipe, o, 3), want);
  o.memory_cap_bytes = batch_bytes(recipe, 3, true);
  EXPECT_EQ(all(recipe, o, 3), want);
  o.cache_bytes = 1 << 28;
  EXPECT_EQ(all(recipe, o, 3), want);
  o.cache_bytes = 4 * 30 * 24 * 96;  // about four videos
  EXPECT_EQ(all(recipe, o, 3), want);
  o.seed = 6;
  EXPECT_NE(all(recipe, o, 3), want);
}

TEST_F(LoaderTest, DrawsBelongToTheSampleNotToItsPlace) {
  LoaderOptions o{.batch = 1, .training = true, .shuffle = true, .seed = 5, .threads = 2};
  const All shuffled = all(small(), o, 1);
  o.shuffle = false;
  const All in_order = all(small(), o, 1);
  for (size_t b = 0; b < 11; ++b)
    EXPECT_EQ(shuffled.clips[b], in_order.clips[size_t(shuffled.index[b][0])]) << b;
}

TEST_F(LoaderTest, EpochsCanBeTakenUpAnywhere) {
  const LoaderOptions o{.batch = 3, .training = true, .shuffle = true, .seed = 5, .threads = 2};
  const All want = all(small(), o, 3);
  Loader loader(set_, small(), o);
  Batch batch;
  loader.start_epoch(7);
  ASSERT_TRUE(loader.next(batch));  // left in the middle
  loader.start_epoch(2);
  for (size_t b = 8; b < 12; ++b) {
    ASSERT_TRUE(loader.next(batch));
    EXPECT_EQ(to_vector<float>(batch.clips), want.clips[b]);
  }
  EXPECT_FALSE(loader.next(batch));
  EXPECT_FALSE(loader.next(batch));
  EXPECT_GE(loader.wait_seconds(), 0);
}

TEST_F(LoaderTest, TestingGivesAllViewsOfASampleInARow) {
  Recipe recipe = small();
  recipe.clips = 2;
  recipe.crops = 3;
  const LoaderOptions o{.batch = 2, .threads = 2, .cache_bytes = 1 << 20};
  const All a = all(recipe, o, 2);  // the second epoch comes from the cache
  ASSERT_EQ(a.clips.size(), 12u);
  EXPECT_EQ(a.index[0], (std::vector<int64_t>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(a.index[5].size(), 6u);
  const size_t view = 4 * 16 * 16 * 3;
  EXPECT_NEAR(a.clips[0][0] * 255, double(level(0, 0)), 1.01);
  EXPECT_NEAR(a.clips[0][3 * view] * 255, double(level(0, 20)), 1.01);
  EXPECT_NEAR(a.clips[0][9 * view] * 255, double(level(1, 21)), 1.01);
  for (size_t b = 0; b < 6; ++b) EXPECT_EQ(a.clips[b], a.clips[b + 6]);
  const Tensor one = load_views(set_.samples[0].path, recipe);
  EXPECT_EQ(one.shape(), (Shape{6, 4, 16, 16, 3}));
  const std::vector<float> first(a.clips[0].begin(), a.clips[0].begin() + long(6 * view));
  EXPECT_EQ(to_vector<float>(one), first);
}

/// What clip_transform() makes of raw clips.
std::vector<float> transformed(const Batch& batch, const Recipe& r) {
  const Tensor clips = empty({batch.rows(), r.frames, r.height, r.width, 3});
  for (int64_t n = 0; n < batch.rows(); ++n) {
    const RawClip& raw = batch.raw[size_t(n)];
    clip_transform({r.mean, r.deviation}, {&raw.plan, 1}, raw.frames.view(),
                   clips.view().slice(0, n, 1));
  }
  return to_vector<float>(clips);
}

/// The same loader with and without options.raw: to the bit, whatever the recipe draws, in
/// testing, in pieces and from the cache.
TEST_F(LoaderTest, RawClipsBecomeTheSameClips) {
  Recipe drawn = small(), scaled = small(), host_scaled = small(), tested = small();
  drawn.flip = true;
  drawn.mean = {0.45, 0.25, 0.5}, drawn.deviation = {0.225, 0.5, 0.25};
  drawn.colour_jitter = {0.4, 0.4, 0.4, 0.1};
  scaled.resized_crop = true;
  // Parts of 24x32 pixels take more bytes than a row of 4x4 in f32: the loader scales them.
  host_scaled.height = host_scaled.width = 4;
  host_scaled.resized_crop = host_scaled.flip = true;
  tested.clips = 2, tested.crops = 3;
  const LoaderOptions training{.batch = 4, .training = true, .shuffle = true, .seed = 3};
  const LoaderOptions testing{.batch = 2}, pieces{.batch = 2, .views_at_once = 4};
  const std::pair<Recipe, LoaderOptions> cases[] = {{drawn, training},
                                                    {scaled, training},
                                                    {host_scaled, training},
                                                    {tested, testing},
                                                    {tested, pieces}};
  for (const auto& [recipe, options] : cases) {
    LoaderOptions o = options;
    const All want = all(recipe, o, 2, noise_);
    o.raw = true;
    Loader loader(noise_, recipe, o);
    Batch batch;
    int64_t windows = 0;
    size_t i = 0;
    for (int64_t epoch : {0, 1})
      for (loader.start_epoch(epoch); loader.next(batch); ++i) {
        EXPECT_FALSE(batch.clips);
        ASSERT_EQ(batch.index, want.index[i]);
        EXPECT_EQ(transformed(batch, recipe), want.clips[i]) << i;
        for (const RawClip& raw : batch.raw) {
          windows += raw.plan.scales();
          EXPECT_LE(raw.frames.storage->bytes() * batch.rows(),
                    batch_bytes(recipe, batch.rows(), true));
        }
      }
    EXPECT_EQ(i, want.clips.size());
    EXPECT_EQ(windows > 0, recipe == scaled);
  }
}

TEST_F(LoaderTest, DropsTheLastBatchOnRequest) {
  const All a = all(small(), {.batch = 4, .drop_last = true}, 1);
  EXPECT_EQ(a.clips.size(), 2u);
}

TEST_F(LoaderTest, HoldsNoMoreBatchesThanTheCapAllows) {
  const Recipe recipe = small();
  const int64_t bytes = batch_bytes(recipe, 1, true);
  Loader loader(set_, recipe,
                {.batch = 1,
                 .training = true,
                 .threads = 3,
                 .memory_cap_bytes = 2 * bytes + 9,
                 .cache_bytes = 0});
  const int64_t before = memory_use().live;
  Batch batch;
  loader.start_epoch(0);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(loader.next(batch));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    // Two wait and one is held here; frames being decoded are done after 20 ms. The rest is room
    // for what the allocator rounds up.
    EXPECT_LE(memory_use().live - before, 3 * (bytes + bytes / 8 + 3 * 4096)) << i;
  }
}

TEST_F(LoaderTest, RefusesWhatCannotWork) {
  const auto said = [](const Dataset& d, const LoaderOptions& o) {
    return refusal([&] { Loader l(d, small(), o); });
  };
  const std::string bytes = std::to_string(batch_bytes(small(), 4, true));
  EXPECT_EQ(said({}, {}), "loader: the data set is empty");
  EXPECT_EQ(said(set_, {.batch = 4, .training = true, .memory_cap_bytes = 1000}),
            "loader: one batch takes " + bytes +
                " bytes, more than the memory cap of 1000; take a smaller batch or a larger cap");
  EXPECT_EQ(said(set_, {.batch = 0}), "loader: batch must be positive, got 0");
  EXPECT_EQ(said(set_, {.batch = 12, .drop_last = true}),
            "loader: 11 samples are less than one batch of 12, and short ones are dropped");
}

TEST_F(LoaderTest, NamesTheFirstBrokenFileAndGoesOn) {
  const std::string broken = (root_ / "broken.mp4").string();
  std::ofstream(broken) << "no video";
  Dataset d = set_;
  d.samples[5].path = broken;
  d.samples[6].path = (root_ / "none.mp4").string();
  for (int threads : {1, 3}) {
    Loader loader(d, small(), {.batch = 4, .threads = threads});
    for (int64_t epoch : {0, 1}) {
      Batch batch;
      loader.start_epoch(epoch);
      EXPECT_TRUE(loader.next(batch));
      const std::string said = refusal([&] { loader.next(batch); });
      EXPECT_TRUE(said.starts_with("video: " + broken + " is no video")) << said;
      EXPECT_FALSE(loader.next(batch));
    }
  }
}

TEST_F(LoaderTest, CanBeLeftAtAnyTime) {
  for (int i = 0; i < 20; ++i) {
    Loader loader(set_, small(), {.batch = 2, .training = true, .threads = 3});
    Batch batch;
    if (i % 4) loader.start_epoch(0);
    if (i % 4 > 1) {
      EXPECT_TRUE(loader.next(batch));
    }
    if (i % 4 > 2) loader.start_epoch(1);
  }
}

}  // namespace
}  // namespace kinema::test
