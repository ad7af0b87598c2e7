#include "kernels/conv3d/conv3d_plan_file.h"
#include <fstream>
#include <sstream>
#include <thread>
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {

namespace {

using namespace kernels;

std::string text(const auto& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

constexpr char layer[] = "forward 8,16,56,56,64 128,3,3,3,64 pad=1,1,1 type=bf16";

TEST(Conv3dProblem, TextIsReadBackAsItWasWritten) {
  for (const char* line :
       {layer, "grad_input 1,1,1,1,1 1,1,1,1,1 type=f16",
        "grad_weight 2,9,9,9,6 4,3,2,1,3 stride=1,2,3 dilation=2,1,1 pad=1,0,2 pad_back=0,1,2 "
        "groups=2 type=tf32",
        "forward 2,9,9,9,6 4,3,2,1,6 pad_back=0,1,2 type=f32"})
    EXPECT_EQ(text(conv3d_problem_from(line)), line);
}

TEST(Conv3dProblem, TextSaysEverything) {
  const Conv3dProblem p = conv3d_problem_from(
      "grad_weight 2,9,8,7,6  4,3,2,1,3 groups=2 pad_back=0,1,2 pad=1,0,2\tstride=1,2,3 "
      "dilation=2,1,1 type=tf32");
  EXPECT_EQ(p.pass, Conv3dPass::grad_weight);
  EXPECT_EQ(p.x, (Shape{2, 9, 8, 7, 6}));
  EXPECT_EQ(p.w, (Shape{4, 3, 2, 1, 3}));
  EXPECT_EQ(p.options.groups, 2);
  EXPECT_EQ(p.options.stride, (std::array<int64_t, 3>{1, 2, 3}));
  EXPECT_EQ(p.options.dilation, (std::array<int64_t, 3>{2, 1, 1}));
  EXPECT_EQ(p.options.pad_front, (std::array<int64_t, 3>{1, 0, 2}));
  EXPECT_EQ(p.options.pad_back, (std::array<int64_t, 3>{0, 1, 2}));
  EXPECT_TRUE(p.options.tf32);
  EXPECT_EQ(p.dtype, Dtype::f32);
}

TEST(Conv3dProblem, FreshTensors) {
  EXPECT_TRUE(conv3d_problem_from(layer).aligned);
  EXPECT_FALSE(conv3d_problem_from(layer).frames);
  EXPECT_TRUE(conv3d_problem_from("forward 1,4,9,9,45 37,1,1,1,45").aligned);
  const Conv3dProblem stem = conv3d_problem_from("forward 1,4,9,9,3 8,1,3,3,3");
  EXPECT_TRUE(stem.frames);
  EXPECT_FALSE(stem.aligned);
}

TEST(Conv3dProblem, MistakesAreNamed) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"forward 1,2,3,4,5", "expected PASS X W and options, got 'forward 1,2,3,4,5'"},
      {"fwd 1,2,3,4,5 1,1,1,1,5", "expected a pass (forward, grad_input, grad_weight), got 'fwd'"},
      {"forward 1,2,3,4 1,1,1,1,5", "expected 5 numbers, got '1,2,3,4'"},
      {"forward 1,2,3,4,x 1,1,1,1,5", "expected whole numbers from 0 on, got '1,2,3,4,x'"},
      {"forward 1,2,3,4,-5 1,1,1,1,5", "expected whole numbers from 0 on, got '1,2,3,4,-5'"},
      {"forward 1,2,3,4,99999999999 1,1,1,1,5",
       "expected whole numbers from 0 on, got '1,2,3,4,99999999999'"},
      {"forward 1,2,3,4,5 1,1,1,1,5 stride=0,1,1", "expected whole numbers from 1 on, got '0,1,1'"},
      {"forward 1,2,3,4,5 1,1,1,1,5 stride", "expected KEY=VALUE, got 'stride'"},
      {"forward 1,2,3,4,5 1,1,1,1,5 strides=1,1,1",
       "expected stride=, dilation=, pad=, pad_back=, groups= or type=, got 'strides'"},
      {"forward 1,2,3,4,5 1,1,1,1,5 type=f64", "expected a type (f32, tf32, bf16, f16), got 'f64'"},
      {"forward 1,2,3,4,5 1,1,1,1,6",
       "conv3d: w must take 5 channels a group, got w [1,1,1,1,6] for x [1,2,3,4,5]"}};
  for (const auto& [line, said] : mistakes)
    EXPECT_EQ(refusal([&] { conv3d_problem_from(line); }), said);
}

class Conv3dPlanFiles : public ::testing::Test {
 protected:
  std::string write(const std::string& lines) {
    const std::string path = folder / "plans.txt";
    std::ofstream(path) << lines;
    return path;
  }
  Folder folder;
};

TEST_F(Conv3dPlanFiles, OverrideTheirLayersAlone) {
  const Conv3dProblem p = conv3d_problem_from(layer);
  const std::string path = write("# tuned\n\n" + std::string(layer) +
                                 " : algorithm=gemm columns=64 stages=2  # faster\n");
  const Conv3dPlan own = conv3d_plan(p, h200);
  const Conv3dPlan wanted =
      conv3d_plan(p, h200, {.algorithm = int(Conv3dAlgorithm::gemm), .columns = 64, .stages = 2});
  ASSERT_NE(text(own), text(wanted));
  EXPECT_EQ(text(Conv3dPlanFile(path).plan(p, h200)), text(wanted));
  {
    const Conv3dPlanFileScope scope(path);
    EXPECT_EQ(text(conv3d_current_plan(p, h200)), text(wanted));
    for (const char* change : {"type=f16", "pad_back=1,1,2", "stride=1,1,2", "dilation=1,2,1"}) {
      const Conv3dProblem other = conv3d_problem_from(layer + (' ' + std::string(change)));
      EXPECT_EQ(text(conv3d_current_plan(other, h200)), text(conv3d_plan(other, h200))) << change;
    }
    // The whole process, but a thread's own scope goes before it.
    std::thread([&] { EXPECT_EQ(text(conv3d_current_plan(p, h200)), text(wanted)); }).join();
    const Conv3dPlanScope nearer({.columns = 32});
    EXPECT_EQ(conv3d_current_plan(p, h200).columns, 32);
    std::thread([&] { EXPECT_EQ(conv3d_current_plan(p, h200).columns, 64); }).join();
  }
  EXPECT_EQ(text(conv3d_current_plan(p, h200)), text(own));
}

TEST_F(Conv3dPlanFiles, MistakesNameFileAndLine) {
  const std::string missing = folder / "none.txt", good = std::string(layer);
  EXPECT_EQ(refusal([&] { Conv3dPlanFile{missing}; }), "conv3d plans: cannot read " + missing);
  EXPECT_EQ(refusal([&] { Conv3dPlanFile{folder.path()}; }),
            "conv3d plans: cannot read " + folder.path().string());
  const std::pair<std::string, std::string> mistakes[] = {
      {good, "expected PASS X W and options : choices, got '" + good + "'"},
      {good + " :", "expected a choice behind the colon, as in columns=64"},
      {good + " : columns", "expected KEY=VALUE, got 'columns'"},
      {good + " : columns=0", "expected whole numbers from 1 on, got '0'"},
      {good + " : rows=1", "expected algorithm=, columns=, stages= or splits=, got 'rows'"},
      {good + " : algorithm=best",
       "expected an algorithm (gemm, halo, pointwise, stem, depthwise, grouped), got 'best'"},
      {good + " : columns=64\n" + good + " : columns=32", "the layer has a line already, "}};
  for (const auto& [lines, said] : mistakes) {
    const std::string path = write("# first\n" + lines + "\n");
    const bool twice = said.back() == ' ';
    EXPECT_EQ(refusal([&] { Conv3dPlanFile{path}; }),
              path + (twice ? ":3: " + said + path + ":2" : ":2: " + said));
  }
}

TEST_F(Conv3dPlanFiles, WhatAGpuDoesNotAllowIsRefusedWithTheLine) {
  const std::string path = write(std::string(layer) + " : columns=128 stages=5 algorithm=gemm");
  const Conv3dPlanFile file(path);
  const Conv3dProblem p = conv3d_problem_from(layer);
  EXPECT_EQ(file.plan(p, h200).stages, 5);
  EXPECT_EQ(refusal([&] { file.plan(p, small_shared_memory); }),
            path + ":1: conv3d: no plan gemm columns=128 stages=5 for " + layer +
                " on 99 KB of shared memory: a block needs 166144 bytes of shared memory, the GPU "
                "has 101376");
}

}  // namespace

}  // namespace kinema::test
