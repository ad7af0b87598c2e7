#include "engine/data/skipped.h"
#include <fstream>
#include <sstream>
#include "engine/data/loader.h"
#include "engine/data/video_writer.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

/// 60 samples of two good videos, of which some are made broken.
struct Videos : Folder {
  Dataset set;
  std::vector<std::string> warnings;
  SkippedFiles::Warn warn = [this](const std::string& s) { warnings.push_back(s); };

  Videos() {
    for (const char* name : {"a.mp4", "b.mp4"}) {
      VideoWriter writer((*this / name).string(), 16, 16, {.quality = 0});
      for (int f = 0; f < 8; ++f) writer.write(full({1, 1, 16, 16, 3}, 9 * f, Dtype::u8).view());
      writer.close();
    }
    set.classes = {"x", "y"};
    for (int64_t i = 0; i < 60; ++i)
      set.samples.push_back({(*this / (i % 2 ? "a.mp4" : "b.mp4")).string(), i % 2});
  }
  std::string broken(const std::string& name) const {
    std::ofstream(*this / name) << "no video";
    return (*this / name).string();
  }
  std::string list() const {
    std::ostringstream text;
    text << std::ifstream(*this / "skipped.csv").rdbuf();
    return text.str();
  }
};

const Recipe recipe{.frames = 4, .height = 8, .width = 8};

/// Which samples each batch of an epoch holds, and their clips.
struct Epoch {
  std::vector<std::vector<int64_t>> index;
  std::vector<int64_t> positions;
  std::vector<float> values;
  bool operator==(const Epoch&) const = default;
};
Epoch epoch_of(Loader& loader, int64_t epoch, int64_t first = 0) {
  Epoch e;
  Batch batch;
  for (loader.start_epoch(epoch, first); loader.next(batch);) {
    EXPECT_EQ(batch.clips ? batch.clips.shape(0) : int64_t(batch.raw.size()), batch.rows());
    EXPECT_EQ(batch.labels.size(), int64_t(batch.index.size()));
    e.index.push_back(batch.index);
    e.positions.push_back(loader.position());
    std::vector<float> v;
    if (batch.clips) v = to_vector<float>(batch.clips);
    for (const RawClip& raw : batch.raw)
      for (uint8_t level : to_vector<uint8_t>(raw.frames)) v.push_back(level);
    e.values.insert(e.values.end(), v.begin(), v.end());
  }
  return e;
}

TEST(Skipped, RowsOfBrokenVideosAreLeftOut) {
  Videos f;
  f.set.samples[5].path = f.broken("broken.mp4");
  f.set.samples[8].path = (f / "none.mp4").string();
  f.set.samples[9].path = f.broken("broken, too.mp4");
  Epoch want;
  for (int threads : {1, 3}) {
    SkippedFiles skipped(f.warn, f / "skipped.csv");
    Loader loader(f.set, recipe,
                  {.batch = 2, .training = true, .threads = threads, .skipped = &skipped});
    const Epoch e = epoch_of(loader, 0);
    // Samples 8 and 9 were a batch of their own: it is passed over, and counted.
    ASSERT_EQ(e.index.size(), 29u);
    EXPECT_EQ(e.index[2], (std::vector<int64_t>{4}));
    EXPECT_EQ(e.index[4], (std::vector<int64_t>{10, 11}));
    EXPECT_EQ(e.positions[4], 6);
    EXPECT_EQ(epoch_of(loader, 0), e);
    if (threads > 1) {
      EXPECT_EQ(e, want);
    }
    want = e;
    const Epoch rest = epoch_of(loader, 0, 4);
    EXPECT_EQ(rest.index.size(), 25u);
    EXPECT_EQ(rest.positions[0], 6);
    ASSERT_EQ(skipped.files().size(), 3u);
    EXPECT_EQ(skipped.files()[1],
              (SkippedFile{(f / "none.mp4").string(),
                           "video: no such file: " + (f / "none.mp4").string()}));
    EXPECT_TRUE(f.list().starts_with("file,reason\n\"" + (f / "broken.mp4").string() +
                                     "\",\"video: " + (f / "broken.mp4").string() + " is no video"))
        << f.list();
    EXPECT_EQ(std::ranges::count(f.list(), '\n'), 4);
    EXPECT_EQ(f.warnings.size(), 1u) << "one a list";
    EXPECT_TRUE(f.warnings[0].starts_with(
        "1 of 60 videos cannot be read and is left out, the first: video: " +
        (f / "broken.mp4").string()))
        << f.warnings[0];
    EXPECT_TRUE(f.warnings[0].ends_with("; " + (f / "skipped.csv").string() + " lists all"));
    f.warnings.clear();
  }
}

class SkippedRows : public ::testing::TestWithParam<bool> {};

TEST_P(SkippedRows, GoodOnesAreWhatTheyWere) {
  Videos f;
  const LoaderOptions o{.batch = 6, .training = true, .raw = GetParam(), .threads = 2};
  Loader all(f.set, recipe, o);
  const Epoch want = epoch_of(all, 3);
  f.set.samples[0].path = f.broken("broken.mp4");
  SkippedFiles skipped(f.warn);
  LoaderOptions with = o;
  with.skipped = &skipped;
  Loader loader(f.set, recipe, with);
  const Epoch got = epoch_of(loader, 3);
  const auto one = long(want.values.size() / 60);
  EXPECT_EQ(got.values, std::vector<float>(want.values.begin() + one, want.values.end()));
  // Without a file each is said.
  ASSERT_EQ(f.warnings.size(), 1u);
  EXPECT_TRUE(f.warnings[0].starts_with("left out: video: " + (f / "broken.mp4").string()));
}

INSTANTIATE_TEST_SUITE_P(Clips, SkippedRows, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(RawClips, SkippedRows, ::testing::Values(true));

TEST(Skipped, AFileOfTwoDataSetsIsListedOnce) {
  Videos f;
  SkippedFiles skipped(f.warn, f / "skipped.csv");
  skipped.add({{"a.mp4", "why"}}, 1, 60);
  skipped.add({{"a.mp4", "why"}, {"b \"2\".mp4", "two\nlines"}}, 2, 60);
  EXPECT_EQ(f.list(), "file,reason\n\"a.mp4\",\"why\"\n\"b \"\"2\"\".mp4\",\"two lines\"\n");
  ASSERT_EQ(f.warnings.size(), 1u);
  EXPECT_EQ(f.warnings[0],
            "1 of 60 videos cannot be read and is left out, the first: a.mp4: why; " +
                (f / "skipped.csv").string() + " lists all");
}

TEST(Skipped, MoreThanOneInTwentyStops) {
  Videos f;
  for (size_t i = 0; i < 4; ++i)
    f.set.samples[20 + i].path = f.broken("broken" + std::to_string(i));
  SkippedFiles skipped(f.warn, f / "skipped.csv");
  Loader loader(f.set, recipe, {.batch = 4, .training = true, .skipped = &skipped});
  const std::string said = refusal([&] { epoch_of(loader, 0); });
  EXPECT_TRUE(said.starts_with("data: 4 of 60 videos cannot be read, more than 1 in 20: video: " +
                               (f / "broken0").string() + " is no video that FFmpeg can read"))
      << said;
  EXPECT_NE(said.find("; video: " + (f / "broken3").string()), std::string::npos) << said;
  EXPECT_EQ(said.find("lists all"), std::string::npos) << "ten can be named";
  EXPECT_FALSE(fs::exists(f / "skipped.csv"));
  Batch batch;
  EXPECT_FALSE(loader.next(batch)) << "the epoch goes on";
}

TEST(Skipped, WhatTheIndexKnowsIsSaidAtOnce) {
  Videos f;
  std::vector<std::string> paths;
  for (size_t i = 0; i < 12; ++i)
    paths.push_back(f.set.samples[i].path = f.broken("broken" + std::to_string(10 + i)));
  const auto index =
      std::make_shared<const VideoIndex>(VideoIndex::open({}, paths, 1, [](const std::string&) {}));
  SkippedFiles skipped(f.warn, f / "run/skipped.csv");
  const std::string said =
      refusal([&] { Loader l(f.set, recipe, {.index = index, .skipped = &skipped}); });
  EXPECT_TRUE(said.starts_with("data: 12 of 60 videos cannot be read, more than 1 in 20: "))
      << said;
  EXPECT_NE(said.find("broken19 is"), std::string::npos);
  EXPECT_EQ(said.find("broken20 is"), std::string::npos) << "ten are named";
  EXPECT_TRUE(said.ends_with("; " + (f / "run/skipped.csv").string() + " lists all")) << said;
  EXPECT_TRUE(fs::exists(f / "run/skipped.csv"));
}

TEST(Skipped, ShortVideosLoopOrAreRefused) {
  Videos f;
  Recipe r{.frames = 5, .frame_stride = 2, .height = 8, .width = 8};
  EXPECT_EQ(load_views(f.set.samples[0].path, r).shape(1), 5);
  r.loop = false;
  EXPECT_EQ(refusal([&] { load_views(f.set.samples[0].path, r); }),
            "data: a clip needs 9 frames, got 8 (in " + f.set.samples[0].path + ")");
  r.frame_stride = 1;
  EXPECT_EQ(refusal([&] { load_views(f.set.samples[0].path, r); }), "");
}

TEST(Skipped, AFileMayVanishWhileARunGoesOn) {
  Videos f;
  fs::copy(f.set.samples[0].path, f / "c.mp4");
  f.set.samples[7].path = (f / "c.mp4").string();
  SkippedFiles skipped(f.warn);
  Loader loader(f.set, recipe, {.batch = 4, .cache_bytes = 0, .skipped = &skipped});
  EXPECT_EQ(epoch_of(loader, 0).index[1].size(), 4u);
  fs::remove(f / "c.mp4");
  EXPECT_EQ(epoch_of(loader, 1).index[1], (std::vector<int64_t>{4, 5, 6}));
  EXPECT_EQ(skipped.files().size(), 1u);
}

}  // namespace
}  // namespace kinema::test
