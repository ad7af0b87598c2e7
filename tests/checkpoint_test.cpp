#include "engine/train/checkpoint.h"
#include <fstream>
#include "engine/train/run_folder.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using engine::io::write_safetensors;
using engine::train::checkpoint_of, engine::train::OtherFormat, engine::train::read_checkpoint,
    engine::train::read_weights, engine::train::write_checkpoint;

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Checkpoint, NoFlippedBitAndNoCutGoUnnoticed) {
  const Folder folder;
  write_checkpoint(folder / "good", {{"w", random({3, 5})}, {"state.n", random({2})}},
                   {{"model", "x"}});
  const std::string good = bytes_of(folder / "good");
  EXPECT_EQ(read_checkpoint(folder / "good").run["model"], "x");
  for (size_t cut = 0; cut < good.size(); ++cut) {
    std::ofstream(folder / "bad", std::ios::binary) << good.substr(0, cut);
    EXPECT_NE(refusal([&] { read_checkpoint(folder / "bad"); }), "") << "cut at " << cut;
  }
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = char(bad[bit / 8] ^ 1 << bit % 8);
    std::ofstream(folder / "bad", std::ios::binary) << bad;
    EXPECT_NE(refusal([&] { read_checkpoint(folder / "bad"); }), "") << "bit " << bit;
  }
}

TEST(Checkpoint, TellsDamageFromAbsence) {
  const Folder folder;
  const std::string path = (folder / "a").string();
  EXPECT_EQ(refusal([&] { read_checkpoint(path); }),
            "safetensors: \"" + path + "\": cannot be opened: No such file or directory");
  write_checkpoint(path, {{"w", random({3, 5})}}, {});
  std::string bytes = bytes_of(path);
  bytes.back() = char(bytes.back() ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(refusal([&] {
              read_checkpoint(path);
            }).find("safetensors: \"" + path + "\": is damaged: its checksum is "),
            0u);
  std::filesystem::resize_file(path, bytes.size() - 4);
  EXPECT_EQ(refusal([&] { read_checkpoint(path); }),
            "safetensors: \"" + path +
                "\": tensor 'w' ends at byte 60 of 56 of data; the file is truncated");
}

TEST(Checkpoint, RefusesOtherFormatsAndBareWeights) {
  const Folder folder;
  const std::string path = (folder / "a").string();
  write_safetensors(path, {{"w", random({3})}});
  EXPECT_EQ(refusal([&] { read_checkpoint(path); }),
            "checkpoint: \"" + path +
                "\" holds weights without the description of their network; give that network's "
                "run folder with --run");
  for (const std::string format : {"0", "3", "99", "-1", "2 "}) {
    write_safetensors(path, {}, {{"format", format}, {"run", "{}"}});
    EXPECT_EQ(refusal([&] { read_checkpoint(path); }), "checkpoint: \"" + path + "\" has format " +
                                                           format +
                                                           "; this program reads formats 1 to 2");
    EXPECT_THROW(read_checkpoint(path), OtherFormat);
  }
  write_safetensors(path, {}, {{"format", "2"}, {"run", "{"}});
  EXPECT_EQ(refusal([&] { read_checkpoint(path); }),
            "checkpoint: \"" + path + "\" has a damaged description");
  EXPECT_EQ(refusal([&] { checkpoint_of(folder.path()); }),
            "checkpoint: \"" + folder.path().string() +
                "\" holds no best.safetensors or last.safetensors; it is no run folder");
}

TEST(Checkpoint, Format1IsMigrated) {
  const Folder folder;
  write_safetensors(folder / "a",
                    {{"optimise.weight", random({3})}, {"optimiser.momentum.w", random({2})}},
                    {{"format", "1"}, {"run", R"({"model":"x"})"}});
  const auto c = read_checkpoint(folder / "a");
  EXPECT_EQ(c.format, 1);
  EXPECT_EQ(c.run["model"], "x");
  EXPECT_TRUE(c.tensors.find("optimise.weight"));
  EXPECT_TRUE(c.tensors.find("state.optimiser.momentum.w"));
  EXPECT_EQ(c.tensors.tensors.size(), 2u);
  const auto weights = read_weights(folder / "a");
  ASSERT_EQ(weights.tensors.size(), 1u);
  EXPECT_EQ(weights.tensors[0].name, "optimise.weight");
}

TEST(Checkpoint, WeightsAloneAreReadFromAnyFile) {
  const Folder folder;
  write_checkpoint(folder / "a", {{"w", random({3})}, {"state.optimiser.steps", random({1})}}, {});
  EXPECT_EQ(read_weights(folder / "a").tensors.size(), 1u);
  // Nobody else's "optimiser." or "format" means anything.
  write_safetensors(folder / "b", {{"optimiser.w", random({3})}}, {{"format", "pt"}});
  EXPECT_EQ(read_weights(folder / "b").tensors.size(), 1u);
}

}  // namespace
}  // namespace kinema::test
