#include "engine/train/scores_csv.h"
#include <gtest/gtest.h>
#include <cmath>
#include <fstream>
#include <sstream>
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using namespace engine::train;
using engine::video::Dataset;

const Dataset data = {{"a,b", "say \"x\"", "c"}, {{"v/0.mp4", 1}, {"v,1\n.mp4", 0}, {"v/2", 2}}};

Evaluation answers(const std::vector<std::vector<double>>& rows) {
  Evaluation e{.metrics = Metrics(3)};
  for (size_t i = 0; i < rows.size(); ++i) {
    e.metrics.add(rows[i], data.samples[i].label);
    e.answers.push_back({int64_t(i), rows[i]});
  }
  return e;
}

std::string text_of(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(Scores, ALineAVideo) {
  const Folder folder;
  const Evaluation e = answers({{0.25, 0.5, 0.25}, {0.25, 0.25, 0.5}, {0, 1, 0}});
  write_scores(folder / "s.csv", e, data, true);
  EXPECT_EQ(text_of(folder / "s.csv"),
            "path,label,predicted,correct,rank,loss,probability,\"a,b\",\"say \"\"x\"\"\",c\n"
            "v/0.mp4,\"say \"\"x\"\"\",\"say \"\"x\"\"\",1,1,0.69314718,0.5,0.25,0.5,0.25\n"
            "\"v,1\n.mp4\",\"a,b\",c,0,2,1.3862944,0.5,0.25,0.25,0.5\n"
            "v/2,c,\"say \"\"x\"\"\",0,3,708.39642,1,0,1,0\n");
  EXPECT_EQ(folder.entries(), std::vector<std::string>{"s.csv"});
}

TEST(Scores, SeveralLabelsOfAVideo) {
  const Folder folder;
  const Dataset set = {{"a", "b", "c"}, {{"0", 0, {0, 2}}, {"1", 1, {1}}}, /*multi_label=*/true};
  Evaluation e{.metrics = Metrics(3)};
  e.answers = {{0, {0.5, 0.75, 0.625}}, {1, {0.25, 0.5, 0.25}}};
  write_scores(folder / "s.csv", e, set, false);
  // Losses: -(log 0.5 + log 0.25 + log 0.625) / 3 and -(log 0.75 + log 0.5 + log 0.75) / 3. The
  // better of two labels ranks second.
  EXPECT_EQ(text_of(folder / "s.csv"),
            "path,label,predicted,correct,rank,loss,probability\n"
            "0,a;c,b,0,2,0.84981506,0.75\n"
            "1,b,b,1,1,0.42283711,0.5\n");
}

TEST(Scores, ReadBackWithAndWithoutClasses) {
  const Folder folder;
  const Evaluation e = answers({{0.25, 0.5, 0.25}, {NAN, 0.25, 0.5}});
  for (bool classes : {true, false}) {
    write_scores(folder / "s.csv", e, data, classes);
    const std::vector<Score> found = read_scores(folder / "s.csv");
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].label, "say \"x\"");
    EXPECT_EQ(found[0].path, "v/0.mp4");
    EXPECT_TRUE(found[0].correct());
    EXPECT_NEAR(found[0].loss, std::log(2), 1e-8);
    EXPECT_EQ(found[1].path, "v,1\n.mp4");
    // NaN counts as wrong, as in Metrics.
    EXPECT_EQ(found[1].rank, 4);
  }
  EXPECT_EQ(e.metrics.top1(), 0.5);
}

TEST(Scores, Refusals) {
  const Folder folder;
  const std::string name = (folder / "s.csv").string();
  EXPECT_EQ(refusal([&] { read_scores(name); }), "scores: cannot open \"" + name + "\"");
  std::ofstream(name) << "path,label\n";
  EXPECT_EQ(refusal([&] { read_scores(name); }),
            "scores: \"" + name +
                "\": expected the columns path,label,predicted,correct,rank,loss,probability");
  std::ofstream(name) << "path,label,predicted,correct,rank,loss,probability\na,b,c,1,x,0,0\n";
  EXPECT_EQ(refusal([&] { read_scores(name); }),
            "scores: \"" + name + "\": line 2: expected a number, got 'x'");
  std::ofstream(name) << "path,label,predicted,correct,rank,loss,probability\na,b\n";
  EXPECT_EQ(refusal([&] { read_scores(name); }),
            "scores: \"" + name + "\": line 2: expected 7 fields, got 2");
}

}  // namespace
}  // namespace kinema::test
