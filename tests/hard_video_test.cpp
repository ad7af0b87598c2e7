#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include "engine/data/sampling.h"
#include "tests/support/check.h"
#include "tests/support/video.h"

// Hard files, made by the ffmpeg program. Its own frames are the oracle: their number and each byte
// must be equal, at the stored size and scaled, in order and at random.

namespace kinema::test {
namespace {

using namespace kinema::engine::video;

/// True if the reader's frame and the program's are equal; `raw` holds all frames of `size`.
bool same(VideoReader& reader, int64_t frame, FrameSize size, const std::vector<uint8_t>& raw) {
  const std::vector<uint8_t> got = to_vector<uint8_t>(reader.read({frame}, size));
  return std::equal(got.begin(), got.end(), raw.begin() + frame * int64_t(got.size()));
}

/// How many frames differ from the program's, -1 if their number does.
int64_t differing(VideoReader& reader, FrameSize size, const std::vector<uint8_t>& raw) {
  if (reader.frames() * 3 * size.height * size.width != int64_t(raw.size())) return -1;
  int64_t count = 0;
  const uint8_t* want = raw.data();
  reader.read(range(reader.frames()), size, [&](int64_t, const View& rgb) {
    bool equal = true;
    for (int64_t y = 0; y < size.height; ++y, want += 3 * size.width)
      equal = equal && std::equal(want, want + 3 * size.width,
                                  kernels::data<const uint8_t>(rgb) + y * rgb.stride(2));
    count += !equal;
  });
  return count;
}

/// Every frame of `path` is the program's.
void expect_equal(const std::string& path) {
  const FrameSize small{21, 33};
  const auto [stored, scaled] = frames_by_program(path, small);
  ASSERT_FALSE(scaled.empty()) << path;
  VideoReader reader(path);
  EXPECT_EQ(differing(reader, small, scaled), 0)
      << path << ", scaled; frames: " << reader.frames() << ", by the program "
      << scaled.size() / (21 * 33 * 3);
  EXPECT_EQ(differing(reader, reader.info().size, stored), 0)
      << path << ", " << reader.info().size.height << "x" << reader.info().size.width;
  Draws draws({3, 3});
  for (int i = 0; i < 12 && reader.frames() > 0; ++i) {
    const int64_t frame = draws.below(reader.frames());
    EXPECT_TRUE(same(reader, frame, small, scaled)) << path << ", frame " << frame;
    if (i % 4) continue;
    VideoReader fresh(path);
    EXPECT_TRUE(same(fresh, frame, small, scaled)) << path << ", frame " << frame << " first";
  }
}

/// One second of moving colours, 25 frames.
const std::string source = "-f lavfi -i testsrc2=s=50x38:r=25:d=1 ";

struct Kind {
  const char* encoder;
  const char* name;
  const char* arguments;
};

/// Makes and holds against the program what this FFmpeg can encode; says what it cannot.
void expect_all_equal(const std::vector<Kind>& kinds) {
  if (!ffmpeg_program("-version >/dev/null")) GTEST_SKIP() << "no ffmpeg program";
  const Folder folder;
  for (const Kind& k : kinds) {
    if (!has_encoder(k.encoder)) {
      std::printf("left out: %s, this FFmpeg lacks %s\n", k.name, k.encoder);
      continue;
    }
    const std::string path = folder / k.name;
    ASSERT_TRUE(
        ffmpeg_program(source + "-c:v " + k.encoder + " " + k.arguments + " '" + path + "'"))
        << k.name;
    expect_equal(path);
  }
}

TEST(HardVideo, TheCodecsOfOurTimeAreThere) {
  if (!ffmpeg_program("-version >/dev/null")) GTEST_SKIP() << "no ffmpeg program";
  for (const char* e : {"libx264", "libx265", "libvpx-vp9", "mpeg4", "libaom-av1"})
    EXPECT_TRUE(has_encoder(e)) << e;
}

TEST(HardVideo, CodecsAndContainers) {
  expect_all_equal({
      {"libaom-av1", "aom.mp4", "-cpu-used 8 -g 9"},
      {"libaom-av1", "aom.mkv", "-cpu-used 8 -g 9 -lag-in-frames 19"},
      {"libaom-av1", "aom.ivf", "-cpu-used 8"},
      {"libx265", "hevc.mp4", "-preset ultrafast -x265-params log-level=0:keyint=10:bframes=3"},
      {"libx265", "hevc.ts", "-preset ultrafast -x265-params log-level=0:keyint=10:bframes=3"},
      {"libx265", "open.mkv",
       "-preset ultrafast -x265-params log-level=0:keyint=8:bframes=3:open-gop=1"},
      {"libx265", "raw.hevc", "-preset ultrafast -x265-params log-level=0:keyint=10"},
      {"libvpx-vp9", "vp9.webm", "-deadline good -cpu-used 5 -g 10 -auto-alt-ref 1"},
      {"libvpx-vp9", "vp9.mp4", "-deadline realtime -g 10"},
      {"libvpx", "vp8.webm", "-deadline good -cpu-used 4 -g 10 -auto-alt-ref 1 -lag-in-frames 10"},
      {"mpeg4", "mpeg4.mp4", "-q:v 3 -bf 2 -g 8"},
      {"mpeg4", "mpeg4.avi", "-q:v 3 -bf 2 -g 8"},
      {"mpeg4", "xvid.avi", "-q:v 3 -vtag XVID -g 8"},
      {"mpeg4", "raw.m4v", "-q:v 3 -bf 2 -g 8"},
      {"libx264", "raw.h264", "-g 8 -bf 2"},
      {"libx264", "h264.ts", "-g 8 -bf 2"},
      {"libx264", "h264.m2ts", "-g 8 -bf 2"},
      {"libx264", "open.mp4", "-x264-params open-gop=1:keyint=8:bframes=3"},
      {"libx264", "open.ts", "-x264-params open-gop=1:keyint=8:bframes=3"},
      {"libx264", "refresh.mp4", "-x264-params intra-refresh=1:keyint=8"},
      {"libx264", "refresh.ts", "-x264-params intra-refresh=1:keyint=8"},
      {"libx264", "pieces.mp4", "-g 8 -movflags frag_keyframe+empty_moov"},
      {"libx264", "h264.flv", "-g 8 -bf 2"},
      {"libx264", "h264.avi", "-g 8 -bf 2"},
      {"libx264", "interlaced.mp4", "-g 8 -vf scale=48:32 -flags +ildct+ilme -x264-params tff=1"},
      {"libx264", "interlaced.ts", "-g 8 -vf scale=48:32 -flags +ildct+ilme -x264-params tff=1"},
      {"mpeg1video", "mpeg1.mpg", "-q:v 3 -bf 2 -g 8"},
      {"mpeg2video", "mpeg2.mpg", "-q:v 3 -bf 2 -g 8"},
      {"mpeg2video", "mpeg2.ts", "-q:v 3 -bf 2 -g 8"},
      {"mpeg2video", "interlaced.mpg", "-q:v 3 -flags +ildct+ilme -g 8"},
      {"mjpeg", "mjpeg.avi", "-q:v 3"},
      {"mjpeg", "raw.mjpeg", "-q:v 3"},
      {"h263p", "h263.avi", "-vf scale=48:36 -q:v 3 -g 8"},
      {"flv", "flv1.flv", "-q:v 3 -g 8"},
      {"msmpeg4", "msmpeg4.avi", "-q:v 3 -g 8"},
      {"wmv2", "wmv2.wmv", "-q:v 3 -g 8"},
      {"libtheora", "theora.ogv", "-q:v 6 -g 8"},
      {"prores_ks", "prores.mov", ""},
      {"gif", "a.gif", ""},
      {"apng", "a.apng", "-f apng"},
      {"ffv1", "ffv1.nut", ""},
      {"rawvideo", "raw.nut", "-pix_fmt yuv420p"},
  });
}

TEST(HardVideo, PixelFormats) {
  expect_all_equal({
      {"libx264", "full.mp4", "-pix_fmt yuvj420p"},
      {"libx264", "tagged.mp4", "-vf scale=out_range=full -color_range pc"},
      {"libx264", "709.mp4", "-colorspace bt709 -color_primaries bt709 -color_trc bt709"},
      {"libx264", "601.mkv", "-colorspace smpte170m"},
      {"libx264", "2020.mp4", "-pix_fmt yuv420p10le -colorspace bt2020nc"},
      {"libx264", "high10.mp4", "-pix_fmt yuv420p10le -g 8"},
      {"libx264", "422.mp4", "-pix_fmt yuv422p"},
      {"libx264", "444.mp4", "-pix_fmt yuv444p"},
      {"libx264", "gray.mp4", "-pix_fmt gray"},
      {"libx264rgb", "rgb.mkv", "-pix_fmt rgb24 -qp 0"},
      {"libx265", "hevc10.mp4", "-pix_fmt yuv420p10le -preset ultrafast -x265-params log-level=0"},
      {"libx265", "hevc12.mp4",
       "-pix_fmt yuv422p12le -colorspace bt2020nc -preset ultrafast -x265-params log-level=0"},
      {"libvpx-vp9", "vp9_10.webm", "-pix_fmt yuv420p10le -deadline realtime -cpu-used 8"},
      {"libvpx-vp9", "alpha.webm", "-pix_fmt yuva420p -deadline realtime -cpu-used 8"},
      {"libaom-av1", "aom10.mp4", "-pix_fmt yuv420p10le -cpu-used 8"},
      {"mjpeg", "full422.avi", "-pix_fmt yuvj422p -q:v 3"},
      {"ffv1", "gray16.mkv", "-pix_fmt gray16le"},
      {"ffv1", "yuva.mkv", "-pix_fmt yuva444p"},
      {"ffv1", "410.mkv", "-pix_fmt yuv410p"},
      {"ffv1", "bgra.mkv", "-pix_fmt bgra"},
      {"png", "rgba.mov", "-pix_fmt rgba"},
      {"png", "pal8.mov", "-pix_fmt pal8"},
      {"png", "gray.mov", "-pix_fmt gray"},
      {"qtrle", "argb.mov", "-pix_fmt argb"},
  });
}

TEST(HardVideo, Sizes) {
  expect_all_equal({
      {"libx264", "1x1.mp4", "-vf scale=1:1 -pix_fmt yuv444p"},
      {"ffv1", "1x1.mkv", "-vf scale=1:1 -pix_fmt yuv420p"},
      {"ffv1", "1x7.mkv", "-vf scale=1:7 -pix_fmt yuv420p"},
      {"mpeg4", "33x17.avi", "-vf scale=33:17 -bf 2"},
      {"libvpx-vp9", "35x29.webm", "-vf scale=35:29 -deadline realtime -cpu-used 8"},
      {"libaom-av1", "35x29.mp4", "-vf scale=35:29 -cpu-used 8"},
      {"mjpeg", "13x11.avi", "-vf scale=13:11 -pix_fmt yuvj420p"},
      {"libx265", "66x34.mp4", "-vf scale=66:34 -preset ultrafast -x265-params log-level=0"},
      {"libx264", "wide.mp4", "-vf setsar=16/11"},
      {"libx264", "tall.mkv", "-vf scale=16:600,setsar=1/4"},
  });
}

TEST(HardVideo, Times) {
  expect_all_equal({
      {"libx264", "late.mp4", "-g 8 -bf 2 -output_ts_offset 5.3"},
      {"libx264", "late.mkv", "-g 8 -bf 2 -output_ts_offset 5.3"},
      {"libx264", "late.ts", "-g 8 -bf 2 -output_ts_offset 5000"},
      {"libx264", "negative.mp4",
       "-g 8 -bf 3 -movflags negative_cts_offsets -avoid_negative_ts disabled"},
      {"libx264", "varying.mp4",
       "-g 8 -bf 2 -fps_mode passthrough -vf setpts='N*N/100/TB',settb=1/90000"},
      {"libx264", "varying.mkv",
       "-g 8 -bf 2 -fps_mode passthrough -vf \"select='not(mod(n*n,3))'\""},
      {"libx264", "single.mp4", "-frames:v 1"},
      {"mpeg4", "single.avi", "-frames:v 1"},
      {"libvpx-vp9", "single.webm", "-frames:v 1"},
      {"libx264", "single.h264", "-frames:v 1"},
      {"mjpeg", "picture.jpg", "-frames:v 1"},
      {"png", "picture.png", "-frames:v 1"},
  });
}

/// Files made of others: cut without decoding, joined, several streams.
TEST(HardVideo, CutAndJoined) {
  if (!has_encoder("libx264")) GTEST_SKIP() << "no ffmpeg program with libx264";
  const Folder folder;
  const std::string whole = folder / "whole.mp4", one = folder / "one.ts", two = folder / "two.ts";
  const auto make = [&](const std::string& arguments, const std::string& name) {
    const std::string path = folder / name;
    EXPECT_TRUE(ffmpeg_program(arguments + " '" + path + "'")) << name;
    return path;
  };
  make(source + "-c:v libx264 -x264-params open-gop=1:keyint=8:bframes=3", "whole.mp4");
  make(source + "-c:v libx264 -g 8 -bf 2", "one.ts");
  make("-f lavfi -i testsrc2=s=32x64:r=25:d=1 -c:v libx264 -g 8", "two.ts");
  // An edit list: begins with frames that are decoded and not shown.
  expect_equal(make("-ss 0.5 -i '" + whole + "' -c copy", "cut.mp4"));
  expect_equal(make("-ss 0.5 -i '" + whole + "' -c copy", "cut.mkv"));
  expect_equal(
      make("-ss 0.5 -i '" + whole + "' -c copy -bsf:v h264_mp4toannexb,dump_extra", "cut.ts"));
  // Begins in the middle of a group of pictures.
  std::ifstream in(one, std::ios::binary);
  const std::string stream((std::istreambuf_iterator<char>(in)), {});
  std::ofstream(folder / "tail.ts", std::ios::binary) << stream.substr(188 * 20);
  expect_equal(folder / "tail.ts");
  // Another size from the middle on: "stored" is then what the header says.
  std::ifstream other(two, std::ios::binary);
  std::ofstream(folder / "joined.ts", std::ios::binary) << stream << other.rdbuf();
  expect_equal(folder / "joined.ts");
}

TEST(HardVideo, HevcCutBeforePicturesThatNeedEarlierOnes) {
  if (!has_encoder("libx265")) GTEST_SKIP() << "no ffmpeg program with libx265";
  const Folder folder;
  const std::string whole = folder / "whole.mkv";
  ASSERT_TRUE(ffmpeg_program(source +
                             "-c:v libx265 -preset ultrafast -x265-params "
                             "log-level=0:keyint=8:min-keyint=8:bframes=3:open-gop=1 '" +
                             whole + "'"));
  for (const char* name : {"cut.mkv", "cut.mp4", "cut.ts"}) {
    ASSERT_TRUE(ffmpeg_program("-ss 0.4 -i '" + whole + "' -c copy '" + (folder / name) + "'"));
    expect_equal(folder / name);
  }
}

TEST(HardVideo, SeveralStreams) {
  if (!has_encoder("libx264")) GTEST_SKIP() << "no ffmpeg program with libx264";
  const Folder folder;
  std::ofstream(folder / "s.srt") << "1\n00:00:00,100 --> 00:00:00,900\nwords\n";
  const std::string sound = "-f lavfi -i sine=d=1 ",
                    small = "-f lavfi -i testsrc=s=32x32:r=10:d=1 ";
  const std::pair<const char*, std::string> files[] = {
      {"sound.mp4", sound + source + "-c:v libx264 -g 8 -c:a aac"},
      {"sound.ts", sound + source + "-c:v libx264 -g 8 -c:a mp2"},
      {"sound.mpg", sound + source + "-c:v mpeg2video -g 8 -c:a mp2"},
      {"two.mkv", small + source + "-map 0 -map 1 -c:v libx264 -g 8"},
      {"two.mp4", small + source + "-map 0 -map 1 -c:v libx264 -g 8"},
      {"two.ts", small + source + "-map 0 -map 1 -c:v libx264 -g 8"},
      {"words.mkv", "-i '" + (folder / "s.srt") + "' " + source + sound +
                        "-map 0 -map 1 -map 2 -c:v libx264 -g 8 -c:a aac"},
      {"words.mp4",
       "-i '" + (folder / "s.srt") + "' " + source + "-map 0 -map 1 -c:v libx264 -c:s mov_text"},
      {"cover.mp4", source + "-f lavfi -i testsrc2=s=200x200:d=0.04 -map 0 -map 1 -c:v:0 libx264 "
                             "-c:v:1 png -disposition:v:1 attached_pic"},
      {"file.mkv", source + "-c:v libx264 -attach '" + (folder / "s.srt") +
                       "' -metadata:s:t mimetype=text/plain"}};
  for (const auto& [name, arguments] : files) {
    ASSERT_TRUE(ffmpeg_program(arguments + " '" + (folder / name) + "'")) << name;
    expect_equal(folder / name);
  }
}

/// A live recording that was killed: no duration, no index, the last cluster cut.
TEST(HardVideo, Killed) {
  if (!has_encoder("libx264")) GTEST_SKIP() << "no ffmpeg program with libx264";
  const Folder folder;
  for (const char* name : {"a.mkv", "a.ts", "a.flv", "a.avi", "pieces.mp4"}) {
    const std::string flags =
        name == std::string("pieces.mp4") ? "-movflags frag_keyframe+empty_moov " : "";
    const std::string path = folder / name;
    ASSERT_TRUE(ffmpeg_program(source + "-c:v libx264 -g 8 -bf 2 " + flags + "'" + path + "'"));
    std::filesystem::resize_file(path, std::filesystem::file_size(path) * 7 / 10);
    expect_equal(path);
  }
}

/// Replaces the display matrix of an .mp4 file (ISO/IEC 14496-12, 8.3.2).
void set_matrix(const std::string& path, const std::array<double, 4>& abcd) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const size_t at = bytes.find("tkhd");
  ASSERT_NE(at, std::string::npos);
  const double values[9] = {abcd[0], abcd[1], 0, abcd[2], abcd[3], 0, 0, 0, 16384};
  file.seekp(long(at) + 4 + 40);
  for (double v : values) {
    const auto fixed = uint32_t(int32_t(v * 65536));
    for (int shift : {24, 16, 8, 0}) file.put(char(fixed >> shift));
  }
}

TEST(HardVideo, TurnedAndMirrored) {
  if (!has_encoder("libx264")) GTEST_SKIP() << "no ffmpeg program with libx264";
  const Folder folder;
  const std::array<double, 4> matrices[] = {{1, 0, 0, 1},  {0, 1, -1, 0},  {-1, 0, 0, -1},
                                            {0, -1, 1, 0}, {-1, 0, 0, 1},  {1, 0, 0, -1},
                                            {0, 1, 1, 0},  {0, -1, -1, 0}, {0.8, 0.6, -0.6, 0.8}};
  // 4:2:2 turned is 4:4:0, which the filters go around.
  for (const char* format : {"yuv420p", "yuv422p", "yuvj444p"}) {
    const std::string path = folder / "t.mp4";
    ASSERT_TRUE(
        ffmpeg_program(source + "-frames:v 5 -c:v libx264 -pix_fmt " + format + " '" + path + "'"));
    for (const auto& m : matrices) {
      set_matrix(path, m);
      SCOPED_TRACE(::testing::Message() << m[0] << " " << m[1] << " " << m[2] << " " << m[3]);
      expect_equal(path);
    }
  }
}

TEST(HardVideo, RealClips) {
  const std::vector<std::string> files = real_clips();
  if (files.empty() || !ffmpeg_program("-version >/dev/null")) GTEST_SKIP() << "no real clips";
  for (const std::string& file : files) expect_equal(file);
}

}  // namespace
}  // namespace kinema::test
