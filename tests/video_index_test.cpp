#include "engine/data/video_index.h"
#include <stdlib.h>
#include <fstream>
#include <sstream>
#include "engine/data/video_writer.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

/// A video of `frames` frames of 16x16 whose level is ten times the frame's number.
void make_video(const fs::path& path, int64_t frames) {
  VideoWriter writer(path.string(), 16, 16, {.quality = 0, .key_distance = 4, .full_colour = true});
  for (int64_t f = 0; f < frames; ++f)
    writer.write(full({1, 1, 16, 16, 3}, double(10 * f), Dtype::u8).view());
  writer.close();
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// Three videos, one of them broken, and what an index says while it is opened.
struct Indexed : Folder {
  std::vector<std::string> paths, warnings;
  fs::path file = *this / "index.json";
  int64_t looked = 0;

  Indexed() {
    for (const char* name : {"a.mp4", "b.mp4", "c.mp4"}) paths.push_back((*this / name).string());
    make_video(paths[0], 9);
    make_video(paths[1], 12);
    std::ofstream(paths[2]) << "no video";
  }
  VideoIndex open(int threads = 2) {
    looked = 0;
    warnings.clear();
    return VideoIndex::open(
        file, paths, threads, [&](const std::string& s) { warnings.push_back(s); },
        [&](int64_t done, int64_t) { looked = done; });
  }
};

TEST(VideoIndex, RunsHoldAnyNumbers) {
  const std::vector<std::vector<int64_t>> lists{
      {}, {7}, {0, 512, 1024, 1536}, {5, 5, 5}, {-3, 4, 11, 12, 13, 0}, {0, int64_t(1) << 60}};
  for (const auto& list : lists) EXPECT_EQ(from_runs(runs_of(list)), list);
  EXPECT_EQ(runs_of({0, 512, 1024, 1536}), (std::vector<int64_t>{0, 512, 3}));
}

TEST(VideoIndex, KnowsWhatAReaderFinds) {
  Indexed f;
  const VideoIndex index = f.open();
  EXPECT_EQ(f.looked, 3);
  const IndexEntry* e = index.find(f.paths[1]);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->frames, 12);
  EXPECT_EQ(e->size, (FrameSize{16, 16}));
  EXPECT_EQ(e->error, "");
  VideoReader reader(f.paths[1]), known(f.paths[1]);
  EXPECT_EQ(e->list(), reader.list());
  known.set_list(e->list());
  const std::vector<int64_t> frames{11, 3, 0, 7};
  EXPECT_EQ(to_vector<uint8_t>(known.read(frames)), to_vector<uint8_t>(reader.read(frames)));
  ASSERT_TRUE(index.find(f.paths[2]));
  EXPECT_TRUE(index.find(f.paths[2])->error.starts_with("video: " + f.paths[2] + " is no video"));
  EXPECT_EQ(index.find((f / "none.mp4").string()), nullptr);
}

TEST(VideoIndex, LooksAgainAtWhatChangedOrWasBroken) {
  Indexed f;
  const auto before = f.open().entries();
  EXPECT_EQ(f.open(1).entries(), before);
  EXPECT_EQ(f.looked, 1);  // the broken one
  make_video(f.paths[2], 5);
  EXPECT_EQ(f.open().find(f.paths[2])->frames, 5);
  fs::last_write_time(f.paths[0], fs::last_write_time(f.paths[0]) - std::chrono::seconds(3));
  const VideoIndex after = f.open();
  EXPECT_EQ(f.looked, 1);
  EXPECT_TRUE(f.warnings.empty());
  // A file that changes later is known no more, one that is gone leaves the index with the next.
  std::ofstream(f.paths[0], std::ios::app) << "x";
  EXPECT_EQ(after.find(f.paths[0]), nullptr);
  fs::remove(f.paths[0]);
  EXPECT_EQ(after.find(f.paths[0]), nullptr);
  f.paths.erase(f.paths.begin());
  std::ofstream(f.paths[1]) << "no video";
  EXPECT_EQ(f.open().entries().size(), 2u);
}

TEST(VideoIndex, IsBuiltAnewWhereItIsDamaged) {
  Indexed f;
  f.open();
  const std::string good = text_of(f.file);
  const auto said = [&](const std::string& text) {
    std::ofstream(f.file, std::ios::binary) << text;
    EXPECT_EQ(f.open().entries().size(), 3u);
    EXPECT_EQ(f.looked, 3);
    EXPECT_EQ(text_of(f.file), good) << "not mended";
    return f.warnings.size() == 1 ? f.warnings[0] : "";
  };
  const std::string prefix = "the index " + f.file.string() + " is built anew: ";
  EXPECT_EQ(said(""), prefix + "it is empty");
  EXPECT_EQ(said("no index\n"), prefix + "it is damaged or no index");
  EXPECT_EQ(said(good.substr(0, good.size() - 9)), prefix + "it is damaged or cut off");
  std::string flipped = good;
  flipped[good.size() / 2] = char(flipped[good.size() / 2] ^ 1);
  EXPECT_EQ(said(flipped), prefix + "it is damaged or cut off");
  std::string older = good;
  const std::string key = "\"kinema_index\":1";
  older.replace(older.find(key), key.size(), "\"kinema_index\":0");
  EXPECT_EQ(said(older), prefix + "it has version 0, this program reads version 1");
}

TEST(VideoIndex, IsUsedWhereItCannotBeKept) {
  Indexed f;
  std::ofstream(f / "file") << "x";
  f.file = f / "file/index.json";
  EXPECT_EQ(f.open().entries().size(), 3u);
  ASSERT_EQ(f.warnings.size(), 1u);
  EXPECT_TRUE(f.warnings[0].starts_with("the index " + f.file.string() + " cannot be kept: "));
}

TEST(VideoIndex, HoldsTenThousandVideos) {
  Indexed f;
  const std::string broken = f.paths[2];
  f.paths.clear();
  for (int i = 0; i < 10000; ++i) {
    f.paths.push_back((f / ("link" + std::to_string(i))).string());
    fs::create_symlink(i % 2000 ? f / "none" : fs::path(broken), f.paths.back());
  }
  const VideoIndex index = f.open();
  EXPECT_EQ(index.entries().size(), 10000u);
  VideoIndex again = f.open();
  EXPECT_EQ(again.entries(), index.entries());
  EXPECT_TRUE(f.warnings.empty());
}

TEST(VideoIndex, LiesInTheUsersCache) {
  const char* before = ::getenv("XDG_CACHE_HOME");
  const std::string kept = before ? before : "";
  ::setenv("XDG_CACHE_HOME", "/cache", 1);
  const fs::path one = default_index("/data/a");
  EXPECT_EQ(one.parent_path(), "/cache/kinema/index");
  EXPECT_EQ(default_index("/data/../data/a"), one);
  EXPECT_NE(default_index("/data/b"), one);
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", "/me", 1);
  EXPECT_EQ(default_index("/data/a").parent_path(), "/me/.cache/kinema/index");
  if (before) ::setenv("XDG_CACHE_HOME", kept.c_str(), 1);
}

}  // namespace
}  // namespace kinema::test
