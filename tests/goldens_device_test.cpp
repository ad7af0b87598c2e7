#include <filesystem>
#include <fstream>
#include <iostream>
#include "tests/support/device_goldens.h"

// What runs here, the emulation or a GPU, against what GPUs gave: tests/goldens/*.json, each
// written by gpu_goldens on the GPU that it names.

namespace kinema::test {
namespace {

namespace fs = std::filesystem;

const std::vector<Golden>& ours() {
  static const std::vector<Golden> all = goldens_of(device_runs().back());
  return all;
}

std::vector<fs::path> files() {
  std::vector<fs::path> all;
  if (!fs::is_directory("tests/goldens")) return all;
  for (const auto& entry : fs::directory_iterator("tests/goldens"))
    if (entry.path().extension() == ".json") all.push_back(entry.path());
  return all;
}

TEST(Goldens, AreWhatGpusGave) {
  if (small()) GTEST_SKIP() << "the run without the race detector does this";
  if (files().empty()) std::cout << "no golden of a GPU is committed\n";
  for (const fs::path& path : files()) {
    const GoldenFile file = read_goldens(path);
    EXPECT_FALSE(file.goldens.empty()) << path;
    for (const std::string& d : differences(ours(), file.goldens))
      ADD_FAILURE() << path << ", " << file.gpu << ": " << d;
  }
}

TEST(Goldens, AFileReadsBackAsItWas) {
  const std::vector<Golden> all = small() ? std::vector<Golden>{{"few", {1, 2, 3}}} : ours();
  const fs::path path = fs::temp_directory_path() / "kinema_goldens_device_test.json";
  const GoldenFile file{"made \"up\"", 90, R"({"deviceVer":900})", all};
  std::ofstream(path) << text_of(file);
  const GoldenFile back = read_goldens(path);
  fs::remove(path);
  EXPECT_EQ(back.gpu, file.gpu);
  EXPECT_EQ(back.compute_capability, 90);
  EXPECT_EQ(back.properties, file.properties);
  ASSERT_EQ(back.goldens.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(back.goldens[i].name, all[i].name);
    EXPECT_EQ(back.goldens[i].values, all[i].values) << all[i].name;
  }
  EXPECT_EQ(differences(all, back.goldens), std::vector<std::string>());
}

TEST(Goldens, RunsAreShortAndExact) {
  const std::vector<int64_t> values = {5, 5, 5, 0, 2, 4, 6, -1, -2, -3, 9, 1, 7, 7};
  EXPECT_EQ(runs_of(values), "5*3 0+2*4 -1-1*3 9 1 7*2");
  EXPECT_EQ(values_of(runs_of(values)), values);
  EXPECT_EQ(values_of(""), std::vector<int64_t>());
  for (const char* bad : {"x", "1+", "1*0", "1+2", "1*2*3", "1/2*3"})
    EXPECT_NE(refusal_of([&] { values_of(bad); }), "") << bad;
}

TEST(Goldens, DifferencesAreNamed) {
  const std::vector<Golden> mine = {{"a", {1, 2}}, {"b", {0x3f800000, 0x3f000000}, 1e-6}};
  EXPECT_EQ(
      differences(mine, {{"a", {1, 3}}, {"a", {1}}, {"c", {1}}}),
      (std::vector<std::string>{"a: value 1 is 2, 3 in the file", "a: 2 values, 1 in the file",
                                "c: nothing here makes it any more"}));
  EXPECT_EQ(differences(mine, {{"b", {0x3f800001, 0x3f000000}}}).size(), 0u);
  EXPECT_EQ(differences(mine, {{"b", {0x3f800000, 0x3f000100}}}).size(), 1u);
}

/// Where NVIDIA's documents are clear: from the start of a pattern, rows of 128 bytes.
TEST(Goldens, TheCanonicalLayoutIsAmongThem) {
  if (small()) GTEST_SKIP() << "the run without the race detector does this";
  for (const Golden& g : ours()) {
    if (g.name != "wgmma.reads 128 B, base 0, row 0") continue;
    for (int64_t i = 0; i < 32; ++i)
      EXPECT_EQ(g.values[size_t(i)], i / 2 * 8 + (i % 2 ^ i / 2 % 8)) << i;
    return;
  }
  EXPECT_EQ(device_runs().back().name, "a GPU below compute capability 9.0");
}

}  // namespace
}  // namespace kinema::test
