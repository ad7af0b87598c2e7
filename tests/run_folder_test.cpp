#include "engine/train/run_folder.h"
#include <unistd.h>
#include <fstream>
#include "engine/io/text.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using engine::io::edit_distance, engine::io::nearest, engine::io::suggestion;
using engine::train::checkpoint_of, engine::train::read_checkpoint, engine::train::RunFolder;

const std::string metrics_header =
    "epoch,step,learning_rate,train_loss,train_top1,val_loss,val_top1,val_top5,seconds,data_wait\n";

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(RunFolder, KeepsWhatItWrote) {
  const Folder folder;
  {
    RunFolder run(folder / "a/b", {{"model", "x"}});
    run.save(7, {{"w", random({3})}}, {{"model", "x"}});
    run.add({.epoch = 1, .step = 10, .learning_rate = 0.1, .train_loss = 2.5, .val_loss = NAN});
    run.add({.epoch = 2, .step = 20, .val_top1 = 0.5});
  }
  EXPECT_EQ(text_of(folder / "a/b/metrics.csv"),
            metrics_header + "1,10,0.1,2.5,0,,0,0,0,0\n2,20,0,0,0,0,0.5,0,0,0\n");
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

TEST(RunFolder, OneProcessHoldsIt) {
  const Folder folder;
  const std::string path = (folder / "run").string();
  RunFolder run(path, {});
  run.save(1, {}, {{"x", 1}});
  EXPECT_EQ(refusal([&] { RunFolder other(path); }), "run: process " + std::to_string(::getpid()) +
                                                         " is at work in \"" + path +
                                                         "\"; wait for its end, or stop it");
}

TEST(RunFolder, WhatAKilledProcessLeftIsNoObstacle) {
  const Folder folder;
  std::ofstream(folder / ".lock") << "1";
  std::ofstream(folder / "config.json.1.tmp") << "{";
  { RunFolder(folder.path(), {}).save(1, {}, {{"x", 1}}); }
  { RunFolder again(folder.path()); }
  EXPECT_EQ(folder.entries(), (std::vector<std::string>{".lock", "config.json", "last.safetensors",
                                                        "step-00000001.safetensors"}));
}

TEST(RunFolder, TheLastCheckpointsStay) {
  const Folder folder;
  RunFolder run(folder.path(), {});
  run.keep(3);
  for (int64_t step : {1, 2, 9, 10, 100'000'000}) run.save(step, {}, {{"step", step}});
  EXPECT_EQ(folder.entries(),
            (std::vector<std::string>{".lock", "config.json", "last.safetensors",
                                      "step-00000009.safetensors", "step-00000010.safetensors",
                                      "step-100000000.safetensors"}));
  EXPECT_EQ(read_checkpoint(checkpoint_of(folder.path())).run["step"], 100'000'000);
  // As on a file system without links.
  std::filesystem::remove(folder / "last.safetensors");
  EXPECT_EQ(checkpoint_of(folder.path()), folder / "step-100000000.safetensors");
}

TEST(RunFolder, FallsBackToTheNewestThatCanBeRead) {
  const Folder folder;
  RunFolder run(folder.path(), {});
  run.keep(9);
  std::vector<std::string> said;
  const auto warn = [&](const std::string& sentence) { said.push_back(sentence); };
  EXPECT_FALSE(run.newest(warn));
  for (int64_t step : {1, 2, 3}) run.save(step, {{"w", random({5})}}, {{"step", step}});
  std::filesystem::resize_file(folder / "step-00000003.safetensors", 100);
  EXPECT_EQ(run.newest(warn)->run["step"], 2);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].find("safetensors: \"" + (folder / "step-00000003.safetensors").string() +
                         "\": the header length"),
            0u)
      << said[0];
  EXPECT_TRUE(std::filesystem::exists(folder / "step-00000003.safetensors.damaged"));
  std::filesystem::resize_file(folder / "step-00000002.safetensors", 0);
  std::filesystem::resize_file(folder / "step-00000001.safetensors", 0);
  EXPECT_EQ(refusal([&] { run.newest(warn); })
                .find("resume: none of the 2 checkpoints in \"" + folder.path().string() +
                      "\" can be read; the newest: safetensors: "),
            0u);
}

TEST(RunFolder, MetricsAreCutToWhatTheCheckpointKnows) {
  const Folder folder;
  RunFolder run(folder.path(), {});
  for (int64_t epoch : {1, 2, 3}) run.add({.epoch = epoch});
  std::ofstream(folder / "metrics.csv", std::ios::app) << "4,half a li";
  int warnings = 0;
  const auto warn = [&](const std::string&) { ++warnings; };
  run.cut_metrics(2, warn);
  EXPECT_EQ(text_of(folder / "metrics.csv"),
            metrics_header + "1,0,0,0,0,0,0,0,0,0\n2,0,0,0,0,0,0,0,0,0\n");
  EXPECT_EQ(warnings, 0);
  run.add({.epoch = 3, .step = 7});
  EXPECT_EQ(text_of(folder / "metrics.csv"),
            metrics_header + "1,0,0,0,0,0,0,0,0,0\n2,0,0,0,0,0,0,0,0,0\n3,7,0,0,0,0,0,0,0,0\n");
  run.cut_metrics(5, warn);
  EXPECT_EQ(warnings, 1);
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
