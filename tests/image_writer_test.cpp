#include "engine/data/image_writer.h"
#include <gtest/gtest.h>
#include <cmath>
#include <fstream>
#include "engine/data/video.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using namespace engine::video;

/// Frames of large patches in a few colours: what a palette of 256 holds exactly.
engine::Tensor patches(int64_t frames, int64_t height, int64_t width) {
  const engine::Tensor t = engine::empty({1, frames, height, width, 3}, engine::Dtype::u8);
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        uint8_t* p =
            engine::data<uint8_t>(t) + f * t.view().stride(1) + y * t.view().stride(2) + 3 * x;
        p[0] = uint8_t(60 * f);
        p[1] = x < width / 2 ? 255 : 0;
        p[2] = y < height / 2 ? 128 : 10;
      }
  return t;
}

engine::Tensor read_back(const std::string& bytes, const std::string& name, int64_t frames) {
  const Folder folder;
  std::ofstream(folder / name, std::ios::binary) << bytes;
  VideoReader reader((folder / name).string());
  EXPECT_EQ(reader.frames(), frames);
  std::vector<int64_t> list;
  for (int64_t i = 0; i < frames; ++i) list.push_back(i);
  return reader.read(list);
}

TEST(ImageWriter, PngHoldsThePixels) {
  const engine::Tensor one = patches(1, 7, 13);
  const std::string bytes = encode_png(one.view());
  EXPECT_EQ(bytes.substr(1, 3), "PNG");
  EXPECT_EQ(engine::to_vector<uint8_t>(read_back(bytes, "a.png", 1)),
            engine::to_vector<uint8_t>(one));
}

TEST(ImageWriter, GifHoldsTheFrames) {
  const engine::Tensor clip = patches(4, 18, 31);
  const std::string bytes = encode_gif(clip.view(), 0.12);
  EXPECT_EQ(bytes.substr(0, 6), "GIF89a");
  EXPECT_NE(bytes.find("NETSCAPE2.0"), std::string::npos) << "plays once only";
  const std::vector<uint8_t> found = engine::to_vector<uint8_t>(read_back(bytes, "a.gif", 4));
  const std::vector<uint8_t> wanted = engine::to_vector<uint8_t>(clip);
  ASSERT_EQ(found.size(), wanted.size());
  // palettegen averages colours with 5 bits a channel: half a step of 8.
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], wanted[i], 4) << "at " << i;
}

TEST(ImageWriter, OneFrameAndDelays) {
  const engine::Tensor clip = patches(3, 8, 8);
  const Folder folder;
  for (const auto& [seconds, fps] : {std::pair{0.25, 4.0}, std::pair{0.0, 50.0}}) {
    std::ofstream(folder / "a.gif", std::ios::binary) << encode_gif(clip.view(), seconds);
    EXPECT_NEAR(VideoReader((folder / "a.gif").string()).info().fps, fps, 0.01);
  }
  read_back(encode_gif(patches(1, 5, 4).view(), 0.1), "b.gif", 1);
}

TEST(ImageWriter, ToBytesRoundsAndClamps) {
  const engine::Tensor t = engine::from_vector<float>({1, 1, 1, 2, 3}, {-1, NAN, 0.5, 1, 2, 0.1f});
  EXPECT_EQ(engine::to_vector<uint8_t>(to_bytes(t.view())),
            (std::vector<uint8_t>{0, 0, 128, 255, 255, 26}));
}

TEST(ImageWriter, Refusals) {
  EXPECT_EQ(refusal([] {
              encode_gif(engine::empty({1, 0, 4, 4, 3}, engine::Dtype::u8).view(), 1);
            }),
            "picture: expected dense frames [1,T,H,W,3], got [1,0,4,4,3]");
}

}  // namespace
}  // namespace kinema::test
