#include "engine/data/frame_folder.h"
#include <fstream>
#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

/// Writes a PNG (stored, not compressed) of one grey level: an encoder of its own would only test
/// itself.
class Png {
 public:
  static void write(const fs::path& path, uint32_t height, uint32_t width, uint8_t level) {
    std::string rows;
    for (uint32_t y = 0; y < height; ++y) rows += '\0' + std::string(3 * width, char(level));
    const auto length = uint16_t(rows.size());
    std::string data = "\x78\x01\x01";
    data += {char(length & 255), char(length >> 8), char(~length & 255), char(~length >> 8 & 255)};
    data += rows + word(adler(rows));
    const std::string header = word(width) + word(height) + std::string("\x08\x02\0\0\0", 5);
    std::ofstream(path, std::ios::binary)
        << "\x89PNG\r\n\x1a\n"
        << chunk("IHDR", header) << chunk("IDAT", data) << chunk("IEND", "");
  }

 private:
  static std::string word(uint32_t v) {
    return {char(v >> 24), char(v >> 16 & 255), char(v >> 8 & 255), char(v & 255)};
  }
  static uint32_t adler(const std::string& s) {
    uint32_t a = 1, b = 0;
    for (char c : s) a = (a + uint8_t(c)) % 65521, b = (b + a) % 65521;
    return b << 16 | a;
  }
  static std::string chunk(const std::string& type, const std::string& body) {
    uint32_t crc = 0xffffffffu;
    for (char c : type + body) {
      crc ^= uint8_t(c);
      for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return word(uint32_t(body.size())) + type + body + word(~crc);
  }
};

/// 12 frames of 20x30 whose level is ten times their number, under names without leading zeros.
void make_clip(const fs::path& folder) {
  fs::create_directories(folder);
  for (int i = 0; i < 12; ++i)
    Png::write(folder / ("frame" + std::to_string(i) + ".png"), 20, 30, uint8_t(10 * i));
}

TEST(FrameFolder, OrdersNamesAsPeopleDo) {
  std::vector<std::string> names{"f10",  "f9", "f1b",  "f01",   "f1",
                                 "f002", "g",  "f1a3", "f1a20", "f"};
  std::sort(names.begin(), names.end(), natural_less);
  EXPECT_EQ(names, (std::vector<std::string>{"f", "f01", "f1", "f1a3", "f1a20", "f1b", "f002", "f9",
                                             "f10", "g"}));
}

TEST(FrameFolder, ReadsAsAVideoWould) {
  const Folder f;
  make_clip(f / "clip");
  std::ofstream(f / "clip/notes.txt") << "x";
  VideoReader reader((f / "clip").string());
  EXPECT_EQ(reader.frames(), 12);
  EXPECT_EQ(reader.info().size, (FrameSize{20, 30}));
  EXPECT_EQ(reader.info().codec, "png");
  EXPECT_EQ(reader.info().fps, 0);
  const Tensor t = reader.read({11, 2, 2, 0});
  for (int64_t i = 0; i < 4; ++i)
    EXPECT_EQ(data<uint8_t>(t)[i * t.layout.stride(1)], (std::vector{110, 20, 20, 0})[size_t(i)]);
  EXPECT_EQ(reader.read({3}, {10, 15}).shape(), (Shape{1, 1, 10, 15, 3}));
}

TEST(FrameFolder, IsASampleOfADataSet) {
  const Folder f;
  make_clip(f / "data/run/clip1");
  make_clip(f / "data/walk/clip2");
  fs::create_directories(f / "data/walk/empty");
  const Dataset d = scan_folder((f / "data").string());
  EXPECT_EQ(d.samples, (std::vector<Sample>{{(f / "data/run/clip1").string(), 0},
                                            {(f / "data/walk/clip2").string(), 1}}));
  const Tensor views = load_views(d.samples[0].path, {.frames = 4, .height = 16, .width = 16});
  EXPECT_EQ(views.shape(), (Shape{1, 4, 16, 16, 3}));
  // One clip lies in the middle: frame 4 first, level 40.
  EXPECT_NEAR(to_vector<float>(views)[0], (40. / 255 - 0.5) / 0.25, 1e-6);
}

TEST(FrameFolder, NamesWhatIsWrong) {
  const Folder f;
  const std::string path = (f / "clip").string();
  const auto said = [&] { return refusal([&] { VideoReader(path).read({0, 1}); }); };
  make_clip(path);
  Png::write(f / "clip/frame1.png", 20, 28, 0);
  EXPECT_EQ(said(), "video: " + path + "/frame1.png is 20x28, but frame0.png before it is 20x30");
  std::ofstream(f / "clip/frame1.png") << "no picture";
  EXPECT_TRUE(
      said().starts_with("video: " + path + "/frame1.png is no picture that FFmpeg can read ("))
      << said();
  std::ofstream(f / "clip/frame1.png", std::ios::trunc).close();
  EXPECT_EQ(said(), "video: " + path + "/frame1.png has 0 bytes; that is no picture");
  EXPECT_EQ(refusal([&] { VideoReader(path).read({12}); }),
            "video: " + path + " has 12 frames, asked for frame 12");
  fs::create_directories(f / "none");
  EXPECT_EQ(
      refusal([&] { VideoReader((f / "none").string()); }),
      "video: expected a file or a folder of frames (.jpg, .png), got a folder without any: " +
          (f / "none").string());
}

}  // namespace
}  // namespace kinema::test
