#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include "engine/data/sampling.h"
#include "engine/data/video.h"
#include "engine/data/video_writer.h"
#include "tests/support/check.h"
#include "tests/support/video.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

/// Frames of 48x32 whose 8 columns of 6 pixels are the bits of the frame number, over noise enough
/// to make the encoder work.
Tensor numbered(int64_t frames) {
  Tensor t = empty({1, frames, 32, 48, 3}, Dtype::u8);
  Draws draws({7, 7});
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t y = 0; y < 32; ++y)
      for (int64_t x = 0; x < 48; ++x)
        for (int64_t c = 0; c < 3; ++c)
          data<uint8_t>(t)[f * t.layout.stride(1) + y * t.layout.stride(2) + 3 * x + c] =
              uint8_t((f >> (x / 6) & 1 ? 190 : 30) + draws.below(36));
  return t;
}

/// Which number frame t shows.
int64_t number_of(const Tensor& frames, int64_t t) {
  int64_t number = 0;
  for (int64_t bit = 0; bit < 8; ++bit) {
    int64_t sum = 0;
    for (int64_t y = 0; y < 32; ++y)
      sum += data<uint8_t>(
          frames)[t * frames.layout.stride(1) + y * frames.layout.stride(2) + 3 * (6 * bit + 3)];
    number |= int64_t(sum > 128 * 32) << bit;
  }
  return number;
}

std::vector<int64_t> numbers(const Tensor& frames) {
  std::vector<int64_t> list;
  for (int64_t t = 0; t < frames.shape(1); ++t) list.push_back(number_of(frames, t));
  return list;
}

void write(const std::string& path, const Tensor& frames, const VideoOptions& options) {
  VideoWriter writer(path, frames.shape(2), frames.shape(3), options);
  writer.write(frames.view());
  writer.close();
}

TEST(Video, ReadsExactlyTheFramesAskedFor) {
  const Folder folder;
  const Tensor frames = numbered(200);
  // Key frames at every 7th, at the first alone, at each; with and without B-frames.
  for (const VideoOptions& o :
       {VideoOptions{.key_distance = 7}, VideoOptions{}, VideoOptions{.key_distance = 1},
        VideoOptions{.key_distance = 24, .b_frames = 3}}) {
    const std::string path = folder / "n.mp4";
    write(path, frames, o);
    VideoReader reader(path);
    EXPECT_EQ(reader.frames(), 200);
    EXPECT_EQ(numbers(reader.read(range(200))), range(200));
    Draws draws({1, 2});
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::vector<int64_t> list;
      for (int i = 0; i < 6; ++i) list.push_back(draws.below(200));
      EXPECT_EQ(numbers(reader.read(list)), list);
      const int64_t one = draws.below(200);
      EXPECT_EQ(numbers(reader.read({one})), std::vector<int64_t>{one});
      EXPECT_EQ(numbers(VideoReader(path).read({one})), std::vector<int64_t>{one});
    }
  }
}

TEST(Video, ReadsExactlyWhatOtherContainersAndCodecsHold) {
  const Folder folder;
  write(folder / "n.mp4", numbered(120), {.quality = 0});
  // Codec and container: B-frames without timestamps (avi), timestamps in ms (mkv), packed
  // B-frames, open groups of pictures, no index (ts), a shifted start, one picture format more.
  const std::pair<const char*, const char*> kinds[] = {
      {"a.avi", "-c:v mpeg4 -q:v 2 -bf 2"},
      {"b.avi", "-c:v mpeg4 -q:v 2"},
      {"c.mkv", "-c:v libx264 -preset veryfast -g 20 -bf 3 -qp 10"},
      {"d.mp4", "-c:v libx264 -x264-params open-gop=1:keyint=15:bframes=3 -qp 10"},
      {"e.ts", "-c:v libx264 -g 20 -bf 2 -qp 10"},
      {"f.webm", "-c:v libvpx -b:v 4M -g 30 -deadline realtime"},
      {"g.mp4", "-c:v mpeg4 -q:v 2 -bf 2 -g 12"},
      {"h.mkv", "-c:v ffv1"},
      {"i.mpg", "-c:v mpeg2video -q:v 2 -bf 2 -g 12"},
      {"j.mp4", "-c:v libx264 -qp 10 -g 10 -output_ts_offset 3.3"},
      {"k.mov", "-c:v mjpeg -q:v 2"}};
  for (const auto& [name, codec] : kinds) {
    const std::string path = folder / name;
    if (!ffmpeg_program("-i '" + (folder / "n.mp4") + "' " + codec + " '" + path + "'")) continue;
    VideoReader reader(path);
    ASSERT_EQ(reader.frames(), 120) << name;
    EXPECT_EQ(numbers(reader.read(range(120))), range(120)) << name;
    for (int64_t frame : {77, 3, 119, 40, 41, 42, 0, 60})
      EXPECT_EQ(numbers(reader.read({frame})), std::vector<int64_t>{frame}) << name;
  }
}

/// Frame of 16x24 with a bright block in its upper left corner.
Tensor corner_marked() {
  Tensor t = full({1, 3, 16, 24, 3}, 20, Dtype::u8);
  for (int64_t f = 0; f < 3; ++f)
    for (int64_t y = 0; y < 4; ++y)
      for (int64_t i = 0; i < 3 * 4; ++i)
        data<uint8_t>(t)[f * t.layout.stride(1) + y * t.layout.stride(2) + i] = 230;
  return t;
}

TEST(Video, HonoursRotation) {
  const Folder folder;
  const struct {
    int rotation;
    FrameSize size;
    Corner bright;
  } cases[] = {{0, {16, 24}, {1, 1}},
               {90, {24, 16}, {1, 14}},
               {180, {16, 24}, {14, 22}},
               {270, {24, 16}, {22, 1}}};
  for (const auto& c : cases) {
    write(folder / "r.mp4", corner_marked(), {.rotation = c.rotation, .full_colour = true});
    VideoReader reader(folder / "r.mp4");
    EXPECT_EQ(reader.info().rotation, c.rotation);
    EXPECT_EQ(reader.info().size, c.size) << c.rotation;
    const Tensor t = reader.read({1});
    for (int64_t y : {int64_t(1), c.size.height - 2})
      for (int64_t x : {int64_t(1), c.size.width - 2}) {
        const int level = data<uint8_t>(t)[y * t.layout.stride(2) + 3 * x];
        EXPECT_EQ(level > 128, c.bright == (Corner{y, x})) << c.rotation << ": " << y << "," << x;
      }
  }
}

TEST(Video, KeepsColours) {
  const Folder folder;
  // Lossless but for 8-bit YCbCr: one level of Y and C each, times up to 2.02 (blue from Cb).
  Tensor t = empty({1, 1, 32, 32, 3}, Dtype::u8);
  for (int64_t y = 0; y < 32; ++y)
    for (int64_t x = 0; x < 96; ++x)
      data<uint8_t>(t)[y * t.layout.stride(2) + x] = uint8_t((y * 37 + x * 91) % 256);
  write(folder / "c.mp4", t, {.quality = 0, .full_colour = true});
  const std::vector<uint8_t> want = to_vector<uint8_t>(t),
                             got = to_vector<uint8_t>(VideoReader(folder / "c.mp4").read({0}));
  int worst = 0;
  for (size_t i = 0; i < want.size(); ++i)
    worst = std::max(worst, std::abs(int(want[i]) - int(got[i])));
  EXPECT_LE(worst, 3);
}

TEST(Video, ScalesInThePassOfTheConversion) {
  const Folder folder;
  write(folder / "s.mp4", corner_marked(), {.full_colour = true});
  const Tensor t = VideoReader(folder / "s.mp4").read({0, 2}, {8, 12});
  EXPECT_EQ(t.shape(), (Shape{1, 2, 8, 12, 3}));
  const std::vector<uint8_t> v = to_vector<uint8_t>(t);
  EXPECT_NEAR(v[0], 230, 3);
  EXPECT_NEAR(v[3 * (7 * 12 + 11)], 20, 3);
}

TEST(Video, SaysWhatAFileIs) {
  const Folder folder;
  write(folder / "n.mp4", numbered(50), {.fps = 12.5});
  const VideoInfo info = VideoReader(folder / "n.mp4").info();
  EXPECT_EQ(info.size, (FrameSize{32, 48}));
  EXPECT_DOUBLE_EQ(info.fps, 12.5);
  EXPECT_NEAR(info.duration_seconds, 4, 0.1);
  EXPECT_EQ(info.frames, 50);
  EXPECT_EQ(info.codec, "h264");
}

TEST(Video, RefusesWhatIsNoVideo) {
  const Folder folder;
  std::ofstream(folder / "text.mp4") << "this is a text, whatever its name says\n";
  std::ofstream(folder / "empty.mp4");
  const auto said = [](const std::string& path) { return refusal([&] { VideoReader r(path); }); };
  EXPECT_EQ(said(folder / "none.mp4"), "video: no such file: " + (folder / "none.mp4"));
  EXPECT_EQ(
      said(folder.path.string()),
      "video: expected a file or a folder of frames (.jpg, .png), got a folder without any: " +
          folder.path.string());
  const std::string text = said(folder / "text.mp4"), none = said(folder / "empty.mp4");
  EXPECT_EQ(text, "video: " + (folder / "text.mp4") +
                      " is no video that FFmpeg can read (Invalid data found when processing "
                      "input)");
  EXPECT_EQ(none, "video: " + (folder / "empty.mp4") + " is empty");
  if (ffmpeg_program("-f lavfi -i sine=d=0.2 -c:a aac '" + (folder / "sound.mp4") + "'")) {
    EXPECT_EQ(said(folder / "sound.mp4"),
              "video: " + (folder / "sound.mp4") + " has no video stream");
  }
}

TEST(Video, OpensNothingButRegularFiles) {
  const Folder folder;
  write(folder / "n.mp4", numbered(3), {});
  const auto said = [](const std::string& path) { return refusal([&] { VideoReader r(path); }); };
  // A pipe nobody writes to would wait for ever.
  ASSERT_EQ(::mkfifo((folder / "pipe.mp4").c_str(), 0600), 0);
  for (const std::string& path : {folder / "pipe.mp4", std::string("/dev/zero")})
    EXPECT_EQ(said(path), "video: expected a regular file, got a pipe or device: " + path);
  std::ofstream(folder / "list.m3u8") << "#EXTM3U\n#EXTINF:1,\nn.mp4\n#EXT-X-ENDLIST\n";
  std::ofstream(folder / "list.ffconcat") << "ffconcat version 1.0\nfile n.mp4\n";
  std::ofstream(folder / "words.txt") << "words\n";
  for (const char* name : {"list.m3u8", "list.ffconcat", "words.txt"})
    EXPECT_TRUE(said(folder / name)
                    .starts_with("video: " + (folder / name) + " is no video that FFmpeg can read"))
        << said(folder / name);
  if (::geteuid() == 0) return;  // who may read everything
  fs::permissions(folder / "n.mp4", fs::perms::none);
  EXPECT_EQ(said(folder / "n.mp4"),
            "video: cannot open " + (folder / "n.mp4") + " (Permission denied)");
}

TEST(Video, RefusesFramesOfAbsurdSize) {
  const Folder folder;
  if (!ffmpeg_program("-f lavfi -i color=s=20000x16:d=0.04 -c:v ffv1 '" + (folder / "w.mkv") + "'"))
    GTEST_SKIP() << "no ffmpeg program";
  EXPECT_EQ(refusal([&] { VideoReader r(folder / "w.mkv"); }),
            "video: frames of " + (folder / "w.mkv") +
                " must have at most 16384 pixels a side and 67108864 in all, got 16x20000");
}

TEST(Video, WaitsNoLongerThanTold) {
  const Folder folder;
  write(folder / "n.mp4", numbered(3), {});
  EXPECT_EQ(refusal([&] { VideoReader r(folder / "n.mp4", {.patience_seconds = 0}); }),
            "video: " + (folder / "n.mp4") +
                " gave nothing for 0 s: it is damaged, or its disk does not answer");
}

TEST(Video, SurvivesAFileThatShrinks) {
  const Folder folder;
  write(folder / "n.mp4", numbered(60), {.quality = 0, .key_distance = 10});
  VideoReader reader(folder / "n.mp4");
  EXPECT_EQ(reader.frames(), 60);
  EXPECT_EQ(numbers(reader.read({3})), std::vector<int64_t>{3});
  fs::resize_file(folder / "n.mp4", fs::file_size(folder / "n.mp4") / 2);
  // The index of an .mp4 lies at its end: what is left cannot be opened again.
  EXPECT_TRUE(refusal([&] { reader.read({59}); }).starts_with("video: " + (folder / "n.mp4")));
}

TEST(Video, SurvivesDamage) {
  const Folder folder;
  write(folder / "n.mp4", numbered(60), {.key_distance = 10, .b_frames = 2});
  if (!ffmpeg_program("-i '" + (folder / "n.mp4") + "' -c copy '" + (folder / "n.mkv") + "'"))
    GTEST_SKIP() << "no ffmpeg program";
  for (const char* name : {"n.mp4", "n.mkv"}) {
    std::ifstream in(folder / name, std::ios::binary);
    const std::string whole((std::istreambuf_iterator<char>(in)), {});
    Draws draws({5, 5});
    for (int i = 0; i < 60; ++i) {
      std::string broken = whole;
      // Cut off, or 40 random bytes changed.
      if (i % 2) broken.resize(size_t(draws.below(int64_t(whole.size()))));
      for (int b = 0; i % 2 == 0 && b < 40; ++b)
        broken[size_t(draws.below(int64_t(whole.size())))] = char(draws.below(256));
      const std::string path = folder / ("broken_" + std::string(name));
      std::ofstream(path, std::ios::binary) << broken;
      const std::string said = refusal([&] {
        VideoReader reader(path);
        const int64_t n = std::min<int64_t>(reader.frames(), 1000);
        if (n > 0) reader.read({n - 1, n / 2, 0});
      });
      EXPECT_TRUE(said.empty() || said.find(path) != std::string::npos) << said;
    }
  }
}

TEST(VideoWriter, LeavesNothingHalfWritten) {
  const Folder folder;
  {
    VideoWriter writer(folder / "x.mp4", 32, 48);
    writer.write(numbered(3).view());
    EXPECT_TRUE(fs::exists(folder / "x.mp4.part"));
  }
  EXPECT_TRUE(fs::is_empty(folder.path));
  EXPECT_TRUE(refusal([&] {
                VideoWriter w(folder / "no/x.mp4", 32, 32);
              }).starts_with("video: cannot write " + (folder / "no/x.mp4")));
  EXPECT_EQ(refusal([&] { VideoWriter w(folder / "x.mp4", 31, 32); }),
            "video: frames of 31x32 need full_colour: 4:2:0 takes even sizes only");
  EXPECT_TRUE(fs::is_empty(folder.path));
}

TEST(Video, RefusesFramesThatAreNotThere) {
  const Folder folder;
  write(folder / "n.mp4", numbered(5), {});
  VideoReader reader(folder / "n.mp4");
  EXPECT_EQ(refusal([&] { reader.read({5}); }),
            "video: " + (folder / "n.mp4") + " has 5 frames, asked for frame 5");
}

}  // namespace
}  // namespace kinema::test
