#include "engine/train/run_folder.h"
#include <fstream>
#include "engine/io/text.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using engine::io::edit_distance, engine::io::nearest, engine::io::suggestion;
using engine::train::checkpoint_of, engine::train::read_checkpoint, engine::train::RunFolder,
    engine::train::write_checkpoint;

TEST(RunFolder, KeepsWhatItWrote) {
  const Folder folder;
  {
    RunFolder run(folder / "a/b", {{"model", "x"}});
    run.save(7, {{"w", random({3})}}, {{"model", "x"}});
    run.add({.epoch = 1, .step = 10, .learning_rate = 0.1, .train_loss = 2.5, .val_loss = NAN});
    run.add({.epoch = 2, .step = 20, .val_top1 = 0.5});
  }
  std::ifstream metrics(folder / "a/b/metrics.csv");
  const std::string text{std::istreambuf_iterator<char>(metrics), {}};
  EXPECT_EQ(text,
            "epoch,step,learning_rate,train_loss,train_top1,val_loss,val_top1,val_top5,seconds,"
            "data_wait\n1,10,0.1,2.5,0,,0,0,0,0\n2,20,0,0,0,0,0.5,0,0,0\n");
  EXPECT_EQ(checkpoint_of(folder / "a/b"), folder / "a/b/last.safetensors");
  EXPECT_EQ(read_checkpoint(folder / "a/b/last.safetensors").run["model"], "x");
}

TEST(RunFolder, WithoutACheckpointItLeavesNothing) {
  const Folder folder;
  {
    RunFolder run(folder / "a/b", {});
    run.add({.epoch = 1});
    EXPECT_TRUE(std::filesystem::exists(folder / "a/b/config.json"));
  }
  EXPECT_EQ(folder.entries(), std::vector<std::string>{});
  // A folder that was there before stays, as does what others put beside ours.
  std::filesystem::create_directory(folder / "own");
  { RunFolder run(folder / "own", {}); }
  EXPECT_EQ(folder.entries(), std::vector<std::string>{"own"});
  {
    RunFolder run(folder / "a/b", {});
    std::ofstream(folder / "a/note") << "mine";
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "a/b"));
  EXPECT_TRUE(std::filesystem::exists(folder / "a/note"));
}

TEST(RunFolder, RefusesWhatExists) {
  const Folder folder;
  std::ofstream(folder / "file") << "text";
  EXPECT_EQ(refusal([&] { RunFolder(folder / "file", {}); }),
            "run: \"" + (folder / "file").string() + "\" is no folder");
  EXPECT_EQ(refusal([&] { RunFolder(folder.path(), {}); }),
            "run: \"" + folder.path().string() +
                "\" is not empty; name another folder with --run, or go on with --resume");
  EXPECT_EQ(folder.entries(), std::vector<std::string>{"file"});
}

TEST(Checkpoint, RefusesOtherFormatsAndBareWeights) {
  const Folder folder;
  const std::string path = (folder / "a").string();
  engine::io::write_safetensors(path, {{"w", random({3})}});
  EXPECT_EQ(refusal([&] { read_checkpoint(path); }),
            "checkpoint: \"" + path +
                "\" holds weights without the description of their network; give that network's "
                "run folder with --run");
  engine::io::write_safetensors(path, {}, {{"format", "0"}, {"run", "{}"}});
  EXPECT_EQ(refusal([&] { read_checkpoint(path); }),
            "checkpoint: \"" + path + "\" has format 0; this program reads formats 1 to 2");
  engine::io::write_safetensors(path, {}, {{"format", "1"}, {"run", "{"}});
  EXPECT_EQ(refusal([&] { read_checkpoint(path); }),
            "checkpoint: \"" + path + "\" has a damaged description");
  EXPECT_EQ(refusal([&] { checkpoint_of(folder.path()); }),
            "checkpoint: \"" + folder.path().string() +
                "\" holds no best.safetensors or last.safetensors; it is no run folder");
}

TEST(Text, DistanceCountsEdits) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("trian", "train"), 1);
}

TEST(Text, TheNearestNameIsFoundOrNone) {
  EXPECT_EQ(nearest("slow_fuson", {"early_fusion", "slow_fusion"}), "slow_fusion");
  EXPECT_EQ(nearest("--epoch", {"--eval", "--epochs"}), "--epochs");
  EXPECT_EQ(nearest("xyzzy", {"train", "eval"}), "");
  EXPECT_EQ(suggestion("xyzzy", {"train", "eval"}), "; known: 'train', 'eval'");
}

}  // namespace
}  // namespace kinema::test
