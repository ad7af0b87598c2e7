#include <cmath>
#include "engine/train/loss_scale.h"
#include "engine/train/summary.h"
#include "tests/support/training.h"

namespace kinema::test {
namespace {

const Dtype narrow_types[] = {Dtype::bf16, Dtype::f16};

class Precision : public TrainingTest {
 protected:
  /// The videos by brightness: dark, middling, bright.
  static video::Dataset by_brightness() {
    video::Dataset set = set_;
    for (size_t i = 0; i < set.samples.size(); ++i) set.samples[i].label = int64_t(i) / 4;
    return set;
  }
  static Training::Setting setting(Dtype precision, int64_t epochs) {
    Training::Setting s;
    s.precision = precision;
    s.options.epochs = epochs;
    return s;
  }
};

TEST_F(Precision, EveryTypeLearnsTheSame) {
  double exact = 0;
  for (Dtype type : activation_types) {
    Training::Setting s = setting(type, 40);
    s.plain = true;
    s.rate = 0.05;
    Training run(by_brightness(), s);
    const double top1 = run.go().result.last.val_top1;
    if (type == Dtype::f32) exact = top1;
    EXPECT_GE(exact, 10 / 11.) << "f32 itself did not learn";
    EXPECT_GE(top1, exact - 1.01 / 11) << type;  // but for one video
  }
}

/// All that has a state at once, stopped within an epoch and taken up again: the same bits.
TEST_F(Precision, IsTakenUpAgainBitForBit) {
  for (Dtype type : narrow_types) {
    Training::Setting s = setting(type, 3);
    s.batch = 2;
    s.adamw = true;
    s.ema = 0.9;
    s.rate = 0.01;
    s.options.precise_bn = 2;
    s.options.accumulate = 2;
    s.options.clip_norm = 1;
    const nlohmann::json near_overflow = {
        {"factor", 0x1p19}, {"good_steps", 0}, {"skipped_steps", 0}};
    Training whole(set_, s);
    whole.scale.restore(near_overflow);
    whole.go();

    const Folder where;
    int64_t steps = 0;
    Training::Setting cut = s;
    cut.options.stop = [&] { return ++steps == 5; };
    Training first(set_, cut);
    first.scale.restore(near_overflow);
    RunFolder folder(where / "run", {});
    EXPECT_TRUE(first.go(&folder).result.interrupted);
    Checkpoint checkpoint = read_checkpoint(where / "run/last.safetensors");
    EXPECT_EQ(checkpoint.tensors.find("conv.weight").dtype(), Dtype::f32);
    Training second(set_, s);
    second.go(nullptr, &checkpoint);
    EXPECT_EQ(second.weights(), whole.weights()) << type;
    EXPECT_EQ(second.statistics(), whole.statistics()) << type;
    if (second.scaled()) {
      EXPECT_EQ(second.scale.values(), whole.scale.values());
      EXPECT_GE(whole.result.skipped, 1);
      EXPECT_LT(whole.result.skipped, 5);
    }
    EXPECT_EQ(second.heard.answers.back()[0].probabilities,
              whole.heard.answers.back()[0].probabilities);
  }
}

TEST_F(Precision, OverflowInF16SkipsTheStepAndHalvesTheScale) {
  Training::Setting s = setting(Dtype::f16, 4);
  s.options.accumulate = 2;
  Training* running = nullptr;
  std::vector<Floats> weights, statistics;
  s.after_step = [&] {
    weights.push_back(running->weights());
    statistics.push_back(running->statistics());
  };
  Training run(set_, s);
  running = &run;
  run.scale.restore({{"factor", 0x1p22}, {"good_steps", 0}, {"skipped_steps", 0}});
  weights.push_back(run.weights());
  statistics.push_back(run.statistics());
  run.go();
  // Scores of f16 cannot pass on more than 65504: 2^22 is too much, and halved soon enough.
  EXPECT_GE(run.result.skipped, 1);
  EXPECT_LE(run.result.skipped, 7);
  EXPECT_EQ(run.result.steps, 8);
  EXPECT_EQ(run.scale.factor(), std::ldexp(1, int(22 - run.result.skipped)));
  int64_t skipped = 0;
  for (size_t i = 0; i < run.heard.steps.size(); ++i) {
    const bool skip = std::isnan(run.heard.steps[i].gradient_norm);
    skipped += skip;
    EXPECT_TRUE(std::isfinite(run.heard.steps[i].loss));
    EXPECT_EQ(weights[i + 1] == weights[i], skip) << i;
    EXPECT_EQ(statistics[i + 1] == statistics[i], skip) << i;
  }
  EXPECT_EQ(skipped, run.result.skipped);
  for (float w : run.weights()) ASSERT_TRUE(std::isfinite(w));
}

/// The scale cancels: a step in f16 moves the weights as far as one in f32, but for rounding.
TEST_F(Precision, AStepIsThatOfF32) {
  Training::Setting s = setting(Dtype::f32, 1);
  s.plain = true;
  s.batch = 11;
  Training exact(set_, s);
  const Floats before = exact.weights();
  exact.go();
  for (Dtype type : narrow_types) {
    s.precision = type;
    Training run(set_, s);
    run.go();
    EXPECT_EQ(run.result.skipped, 0);
    EXPECT_NEAR(run.heard.steps[0].loss, exact.heard.steps[0].loss, 4 * epsilon(type));
    // Some tens of roundings of up to half a unit between clip and gradient.
    EXPECT_NEAR(run.heard.steps[0].gradient_norm, exact.heard.steps[0].gradient_norm,
                8 * epsilon(type) * exact.heard.steps[0].gradient_norm);
    EXPECT_LE(error(run.net.conv.weight, exact.net.conv.weight), 8 * epsilon(type));
  }
  EXPECT_NE(exact.weights(), before);
}

TEST_F(Precision, TheAverageIsComputedWithInThePrecision) {
  for (Dtype type : narrow_types) {
    Training::Setting s = setting(type, 1);
    s.ema = 0.9;
    Training run(set_, s);
    run.go();
    auto follows = [&] {
      return floats(run.net.conv.working_weight) ==
             floats(cast(run.net.conv.weight.detach(), type));
    };
    EXPECT_TRUE(follows());
    const Floats live = floats(run.net.conv.working_weight);
    {
      const optim::Ema::Scope scope(*run.ema);
      EXPECT_TRUE(follows());
      EXPECT_NE(floats(run.net.conv.working_weight), live);
    }
    EXPECT_TRUE(follows());
    EXPECT_EQ(floats(run.net.conv.working_weight), live);
  }
}

TEST(LossScale, IsWhatTheDeviceHasLeft) {
  LossScale scale;
  StepNumbers numbers{};
  scale.put_into(numbers);
  EXPECT_EQ(numbers.loss_scale, 0x1p16);
  EXPECT_EQ(numbers.skipped_steps, 0);
  numbers.loss_scale = 0x1p15;
  numbers.good_steps = 1999;
  numbers.skipped_steps = 3;
  scale.take_from(numbers);
  EXPECT_EQ(scale.factor(), 0x1p15);
  EXPECT_EQ(scale.skipped(), 3);
  LossScale again;
  again.restore(nlohmann::json::parse(scale.values().dump()));
  StepNumbers found{};
  again.put_into(found);
  EXPECT_EQ(found.loss_scale, 0x1p15);
  EXPECT_EQ(found.good_steps, 1999);
  EXPECT_EQ(found.skipped_steps, 3);
}

/// Activations of 5 channels take 8 lanes in every type.
TEST(PrecisionMemory, ActivationsTakeHalf) {
  auto bytes = [](Dtype type) {
    DeviceScope meta(Device::meta);
    Net net(false);
    net.set_precision(type);
    const Summary s = summarise(net, {2, 4, 16, 16, 3}, [&](const Tensor& x) {
      RandomScope random(1, 0);
      return net.forward(cast(x, type));
    });
    int64_t sum = 0;
    for (const Layer& l : s.layers) sum += l.op == "cast" ? 0 : l.activation_bytes;
    return double(sum);
  };
  for (Dtype type : narrow_types) EXPECT_NEAR(bytes(type) / bytes(Dtype::f32), 0.5, 0.01);
}

/// What a forward pass leaves alive for the backward pass; the cast clip is part of it.
TEST(PrecisionMemory, AStepHoldsHalf) {
  const Tensor clips = random({4, 8, 32, 32, 3});
  auto held = [&](Dtype type) {
    Net net(false);
    net.set_precision(type);
    const int64_t before = memory_use().live;
    RandomScope random(1, 0);
    const Tensor y = net.forward(cast(clips, type));
    return double(memory_use().live - before);
  };
  const double wide = held(Dtype::f32);
  EXPECT_GT(wide, 4 * 8 * 32 * 32 * 8 * 4);
  // The norm keeps its input alone. Of that one's 32 bytes a pixel 16 are left, and the clip, cast,
  // is kept for the convolution: 6.
  for (Dtype type : narrow_types) EXPECT_NEAR(held(type) / wide, 22 / 32., 0.01);
}

}  // namespace
}  // namespace kinema::test
