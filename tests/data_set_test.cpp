#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <set>
#include "engine/data/dataset.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;

struct Folder {
  fs::path path = fs::temp_directory_path() / ("kinema_set_" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  void file(const std::string& name) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name) << "x";
  }
};

TEST(DataSet, ListsClassesAndFilesByName) {
  const Folder f;
  for (const char* name : {"walk/b.mp4", "walk/a.AVI", "jump/z.mkv", "jump/notes.txt",
                           "jump/.hidden.mp4", ".cache/c.mp4", "README.md"})
    f.file(name);
  const Dataset d = scan_folder(f.path.string());
  EXPECT_EQ(d.classes, (std::vector<std::string>{"jump", "walk"}));
  EXPECT_EQ(d.samples, (std::vector<Sample>{
                           {f / "jump/z.mkv", 0}, {f / "walk/a.AVI", 1}, {f / "walk/b.mp4", 1}}));
}

TEST(DataSet, SaysWhatIsMissing) {
  const Folder f;
  const auto said = [](const std::string& path) { return refusal([&] { scan_folder(path); }); };
  const std::string root = f.path.string();
  EXPECT_EQ(said(f / "none"), "data: no such folder: " + (f / "none"));
  f.file("loose.mp4");
  EXPECT_EQ(said(f / "loose.mp4"), "data: expected a folder, got a file: " + (f / "loose.mp4"));
  EXPECT_EQ(said(root), "data: " + root +
                            " holds no class folders; put the videos of each class "
                            "into a folder named after it");
  f.file("run/notes.txt");
  EXPECT_EQ(said(root), "data: no video in any class folder of " + root +
                            "; expected files as in " + root + "/run/clip.mp4");
  f.file("walk/a.mp4");
  EXPECT_EQ(said(root), "data: no video in " + (f / "run") + "; add some or remove the folder");
}

TEST(DataSet, SplitsEachClassBySeed) {
  Dataset d{{"a", "b"}, {}};
  for (int64_t i = 0; i < 50; ++i) d.samples.push_back({std::to_string(i), i < 40 ? 0 : 1});
  const Split s = split(d, 0.2, 3);
  std::set<std::string> seen;
  int64_t held_out[2] = {};
  for (const Sample& x : s.held_out.samples) {
    ++held_out[x.label];
    seen.insert(x.path);
  }
  EXPECT_EQ(held_out[0], 8);
  EXPECT_EQ(held_out[1], 2);
  for (const Sample& x : s.train.samples) seen.insert(x.path);
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(s.train.samples.size(), 40u);
  EXPECT_EQ(s.train.classes, d.classes);
  EXPECT_EQ(split(d, 0.2, 3).held_out.samples, s.held_out.samples);
  EXPECT_NE(split(d, 0.2, 4).held_out.samples, s.held_out.samples);
  EXPECT_TRUE(split(d, 0, 3).held_out.samples.empty());
  EXPECT_TRUE(split(d, 1, 3).train.samples.empty());
  EXPECT_EQ(refusal([&] { split(d, 1.5, 3); }),
            "data: the share held out must be in [0, 1], got 1.5");
}

}  // namespace
}  // namespace kinema::test
