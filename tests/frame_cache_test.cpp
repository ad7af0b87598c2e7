#include "engine/data/frame_cache.h"
#include <fstream>
#include "engine/data/loader.h"
#include "engine/data/video_writer.h"
#include "engine/io/safetensors.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

constexpr int64_t videos = 5;

/// Videos of moving colours, and loaders that read them.
struct Cached : Folder {
  Dataset set;
  std::vector<std::string> warnings;
  Recipe recipe{.frames = 4, .short_side = 20, .height = 16, .width = 16};

  Cached() {
    set.classes = {"x"};
    set.root = path().string();
    for (int64_t i = 0; i < videos; ++i) {
      set.samples.push_back({(*this / (std::to_string(i) + ".mp4")).string(), 0});
      write(i, 10 + i, i);
    }
  }
  void write(int64_t video, int64_t frames, int64_t seed) const {
    VideoWriter writer(set.samples[size_t(video)].path, 24, 30,
                       {.quality = 0, .key_distance = 8, .full_colour = true});
    for (int64_t f = 0; f < frames; ++f) {
      const Tensor t = empty({1, 1, 24, 30, 3}, Dtype::u8);
      for (int64_t y = 0; y < 24; ++y)
        for (int64_t x = 0; x < 90; ++x)
          data<uint8_t>(t)[y * t.layout.stride(2) + x] = uint8_t(x * 2 + y * 3 + f * 9 + seed * 31);
      writer.write(t.view());
    }
    writer.close();
  }
  std::shared_ptr<FrameCache> cache(const std::string& name = "cache") {
    return std::make_shared<FrameCache>(*this / name,
                                        [this](const std::string& s) { warnings.push_back(s); });
  }
  /// All clips of two epochs.
  std::vector<float> clips(std::shared_ptr<FrameCache> cache, bool training = true) {
    Loader loader(set, recipe,
                  {.batch = 2,
                   .training = training,
                   .shuffle = training,
                   .threads = 3,
                   .cache_bytes = 0,
                   .frame_cache = std::move(cache)});
    std::vector<float> all;
    Batch batch;
    for (int64_t epoch : {0, 1})
      for (loader.start_epoch(epoch); loader.next(batch);) {
        const std::vector<float> values = to_vector<float>(batch.clips);
        all.insert(all.end(), values.begin(), values.end());
      }
    return all;
  }
  std::vector<fs::path> kept() const {
    std::vector<fs::path> files;
    for (const auto& e : fs::directory_iterator(*this / "cache")) files.push_back(e.path());
    return files;
  }
};

TEST(FrameCache, GivesTheSameBytesAsDecoding) {
  Cached f;
  for (bool training : {true, false}) {
    const std::vector<float> want = f.clips(nullptr, training);
    EXPECT_EQ(f.clips(f.cache(), training), want);
    ASSERT_EQ(f.kept().size(), size_t(videos));
    EXPECT_EQ(f.clips(f.cache(), training), want);
  }
  // Another crop from frames of another size: files of its own.
  f.recipe.short_side = 22;
  const std::vector<float> want = f.clips(nullptr);
  EXPECT_EQ(f.clips(f.cache()), want);
  EXPECT_EQ(f.kept().size(), size_t(2 * videos));
  EXPECT_TRUE(f.warnings.empty());
}

TEST(FrameCache, StandsInForVideosThatAreNotThere) {
  Cached f;
  const std::vector<float> want = f.clips(f.cache());
  for (const Sample& s : f.set.samples) fs::remove(s.path);
  EXPECT_EQ(f.clips(f.cache()), want);
  // Elsewhere, under the same names.
  f.set.root = "/elsewhere";
  for (Sample& s : f.set.samples) s.path = "/elsewhere/" + fs::path(s.path).filename().string();
  EXPECT_EQ(f.clips(f.cache()), want);
}

TEST(FrameCache, FollowsTheFile) {
  Cached f;
  f.clips(f.cache());
  f.write(0, 10, 7);
  const std::vector<float> want = f.clips(nullptr);
  EXPECT_EQ(f.clips(f.cache()), want);
  EXPECT_EQ(f.kept().size(), size_t(videos + 1));
  fs::remove(f.set.samples[0].path);
  const std::string said = refusal([&] { f.clips(f.cache()); });
  EXPECT_TRUE(said.starts_with("data: " + (f / "cache").string() +
                               " keeps frames of several states of 0.mp4 ("))
      << said;
}

TEST(FrameCache, DecodesWhereAFileIsDamaged) {
  Cached f;
  const std::vector<float> want = f.clips(f.cache());
  const std::vector<fs::path> kept = f.kept();
  std::vector<uintmax_t> sizes;
  for (const fs::path& p : kept) sizes.push_back(fs::file_size(p));
  fs::resize_file(kept[0], fs::file_size(kept[0]) - 1);
  fs::resize_file(kept[1], 5);
  std::ofstream(kept[2]) << "no frames at all";
  std::ofstream(kept[3], std::ios::trunc).close();
  EXPECT_EQ(f.clips(f.cache()), want);
  for (size_t i = 0; i < kept.size(); ++i)
    EXPECT_EQ(fs::file_size(kept[i]), sizes[i]) << "not mended: " << kept[i];
}

TEST(FrameCache, HoldsSafetensors) {
  Cached f;
  f.clips(f.cache());
  for (const fs::path& p : f.kept()) {
    const io::TensorFile file = io::read_safetensors(p);
    const Tensor frames = file.find("frames");
    ASSERT_TRUE(frames);
    EXPECT_EQ(frames.dtype(), Dtype::u8);
    EXPECT_EQ(frames.shape(2), 20);
    EXPECT_EQ(frames.shape(3), 25);
    EXPECT_TRUE(file.metadata.at("video").ends_with(".mp4"));
  }
}

TEST(FrameCache, GoesOnWithoutWhereItCannotWrite) {
  Cached f;
  const std::vector<float> want = f.clips(nullptr);
  std::ofstream(f / "file") << "x";
  EXPECT_EQ(f.clips(f.cache("file/cache")), want);
  ASSERT_EQ(f.warnings.size(), 1u);
  EXPECT_TRUE(
      f.warnings[0].starts_with("no more frames are kept in " + (f / "file/cache").string() + ": "))
      << f.warnings[0];
}

TEST(FrameCache, LeavesNothingOfAVideoThatBreaks) {
  Cached f;
  const auto cache = f.cache();
  EXPECT_EQ(refusal([&] {
              cache->keep("0.mp4", f.set.samples[0].path, f.recipe, 2, {20, 25},
                          [](const FrameCache::Take&) { fail("broken"); });
            }),
            "broken");
  EXPECT_TRUE(f.kept().empty());
  EXPECT_TRUE(cache->writes());
}

}  // namespace
}  // namespace kinema::test
