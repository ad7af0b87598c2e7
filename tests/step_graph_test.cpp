// labels: ci, emulated
// Steps as a graph beside steps launch by launch, on the GPU that the emulation is: it replays a
// graph with the arguments that its launches had when it was captured.
#include "engine/train/step_graph.h"
#include "engine/gpu.h"
#include "engine/ops/lerp.h"
#include "tests/support/training.h"

namespace kinema::test {
namespace {

class StepGraphTest : public TrainingTest {
 protected:
  static void SetUpTestSuite() {
    use_gpu(kernels::runtime_emulated, Backend::emulated);
    TrainingTest::SetUpTestSuite();
  }

  /// Four epochs of two full steps and a short one, at a rate that falls from step to step.
  static std::unique_ptr<Training> trained(Training::Setting s, bool graph) {
    s.options.epochs = 4;
    s.options.graph = graph;
    const DeviceScope scope(Device::gpu);
    auto run = std::make_unique<Training>(set_, s);
    // Overflows at first: some steps are skipped, some are not.
    run->scale.restore({{"factor", 0x1p20}, {"good_steps", 0}, {"skipped_steps", 0}});
    run->setting.after_step = [&rate = run->setting.rate] { rate *= 0.8; };
    run->go();
    return run;
  }
  static Floats averages(const Training& run) {
    Floats all;
    for (const auto& [name, t] : run.ema->state())
      for (float v : to_vector<float>(t)) all.push_back(v);
    return all;
  }
};

/// To the bit, over changing rates, loss scales, dropout, mixtures, averages' shares and numbers of
/// updates; also as evaluated on averaged weights between epochs.
TEST_F(StepGraphTest, ReplaysAreWhatEagerStepsAre) {
  Training::Setting plain, half;
  plain.ema = half.ema = 0.9;
  plain.options.clip_norm = 0.5;
  plain.options.mixup = 0.4;
  half.precision = Dtype::f16;
  half.adamw = true;
  half.rate = 0.01;
  for (const Training::Setting& s : {plain, half}) {
    const auto eager = trained(s, false), graph = trained(s, true);
    EXPECT_EQ(eager->result.replays, 0);
    // Of eight full steps two or three run before the memory has settled.
    EXPECT_GE(graph->result.replays, 5);
    EXPECT_EQ(graph->weights(), eager->weights());
    EXPECT_EQ(graph->statistics(), eager->statistics());
    EXPECT_EQ(averages(*graph), averages(*eager));
    EXPECT_EQ(graph->result.skipped, eager->result.skipped);
    EXPECT_EQ(graph->result.skipped > 0, s.precision == Dtype::f16);
    EXPECT_LT(graph->result.skipped, 8);
    EXPECT_EQ(graph->result.last.val_loss, eager->result.last.val_loss);
    ASSERT_EQ(graph->heard.steps.size(), 12u);
    for (size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(graph->heard.steps[i].loss, eager->heard.steps[i].loss) << i;
      EXPECT_EQ(graph->heard.steps[i].learning_rate, eager->heard.steps[i].learning_rate) << i;
      const double norm = eager->heard.steps[i].gradient_norm;
      const double replayed = graph->heard.steps[i].gradient_norm;
      EXPECT_TRUE(replayed == norm || (std::isnan(replayed) && std::isnan(norm))) << i;
    }
  }
}

/// Step 11 of three full and a short one an epoch is a replay.
TEST_F(StepGraphTest, AFaultInAReplayIsNamed) {
  Training::Setting s;
  s.batch = 3;
  s.options.epochs = 4;
  const DeviceScope scope(Device::gpu);
  Training run(set_, s);
  run.setting.after_step = [&] {
    if (run.heard.steps.size() == 9) fill(run.net.classify.bias, INFINITY);
  };
  EXPECT_EQ(refusal([&] { run.go(); }),
            "train: at step 11 weight classify.bias [3] holds Inf; weights and checkpoints are as "
            "before it; try a lower --lr or --clip-norm");
}

/// What follows the GPU's memory and what does not.
TEST_F(StepGraphTest, ReadsMemoryAndKeepsArguments) {
  const Tensor share = full({1}, 0.25, Dtype::f64, Device::gpu);
  double argument = 1;
  StepGraph graph([&](const std::vector<Tensor>& in) {
    const Tensor y = full(in[0].shape(), argument, Dtype::f32, Device::gpu);
    lerp(share, in[0], y);
    return y;
  });
  const auto run = [&](float x) {
    return to_vector<float>(graph.run({to_device(from_vector<float>({1}, {x}), Device::gpu)}))[0];
  };
  for (float x : {1.f, 5.f, 9.f, 13.f}) EXPECT_EQ(run(x), 0.75f + x / 4);
  EXPECT_EQ(graph.replays(), 2);
  fill(share, 0.5);
  EXPECT_EQ(run(3), 2);
  argument = 7;  // of a launch that was captured
  EXPECT_EQ(run(3), 2);
  EXPECT_FALSE(graph.takes({empty({2}, Dtype::f32, Device::gpu)}));
}

TEST_F(StepGraphTest, WhatCannotBeCapturedRunsAllTheSame) {
  StepGraph graph([&](const std::vector<Tensor>& in) {
    const float x = to_vector<float>(in[0])[0];  // waits
    return full({1}, 2 * x, Dtype::f32, Device::gpu);
  });
  for (float x : {1.f, 5.f, 9.f, 13.f, 2.f})
    EXPECT_EQ(
        to_vector<float>(graph.run({to_device(from_vector<float>({1}, {x}), Device::gpu)}))[0],
        2 * x);
  EXPECT_EQ(graph.replays(), 0);
}

}  // namespace
}  // namespace kinema::test
