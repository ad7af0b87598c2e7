// What each option of a training changes, seen from outside: on small videos, by weights and bits.
#include <algorithm>
#include "engine/random.h"
#include "engine/recompute.h"
#include "engine/train/precise_norm.h"
#include "tests/support/training.h"

namespace kinema::test {
namespace {

class Learning : public TrainingTest {
 protected:
  static Training::Setting setting(int64_t epochs) {
    Training::Setting s;
    s.options.epochs = epochs;
    return s;
  }
};

// Sums over 8 clips in another order, then four steps: some roundings of numbers near 1.
constexpr double rounding = 1e-5;

TEST_F(Learning, SmallBatchesAddUpToABigOne) {
  Training::Setting big = setting(2), small = setting(2);
  big.plain = small.plain = true;
  big.batch = 8;
  small.batch = 2;
  small.options.accumulate = 4;
  Training a(set_, big), b(set_, small);
  const Floats before = a.weights();
  a.go(), b.go();
  EXPECT_NE(a.weights(), before);
  EXPECT_LE(error(b.arena.values(), a.arena.values()), rounding);
  // Steps of 8 and 3 clips, the last of 2 + 1; the schedule counts steps.
  EXPECT_EQ(b.result.steps, 4);
  EXPECT_EQ(b.rates_asked, (std::vector<int64_t>{0, 1, 2, 3}));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(b.heard.steps[i].loss, a.heard.steps[i].loss, rounding);
    EXPECT_NEAR(b.heard.steps[i].gradient_norm, a.heard.steps[i].gradient_norm, rounding);
  }
  EXPECT_NEAR(b.result.last.train_loss, a.result.last.train_loss, rounding);
}

TEST_F(Learning, ClippingBoundsTheStep) {
  Training::Setting s = setting(1);
  s.plain = true;
  s.batch = 2;
  s.rate = 1;
  s.options.accumulate = 6;  // one step
  Training free(set_, s);
  const Floats before = free.weights();
  auto moved = [&](const Training& run) {
    double squares = 0;
    const Floats after = run.weights();
    for (size_t i = 0; i < after.size(); ++i)
      squares += std::pow(double(after[i]) - double(before[i]), 2);
    return std::sqrt(squares);
  };
  const double norm = free.go().heard.steps[0].gradient_norm;
  EXPECT_NEAR(moved(free), norm, 1e-5);
  for (double bound : {norm / 3, 3 * norm}) {
    s.options.clip_norm = bound;
    Training clipped(set_, s);
    clipped.go();
    EXPECT_NEAR(clipped.heard.steps[0].gradient_norm, norm, 1e-6);
    EXPECT_NEAR(moved(clipped), std::min(bound, norm), 1e-5);
  }
}

TEST_F(Learning, TheAverageFollowsItsFormula) {
  Training::Setting s = setting(2);
  s.ema = 0.5;
  Training* running = nullptr;
  std::vector<Floats> weights;
  s.after_step = [&] { weights.push_back(running->weights()); };
  Training run(set_, s);
  running = &run;
  Floats average = run.weights();
  run.go();
  ASSERT_EQ(weights.size(), 6u);
  for (size_t step = 0; step < 6; ++step) {
    const double d = std::min(0.5, (1 + double(step)) / (10 + double(step)));
    for (size_t i = 0; i < average.size(); ++i)
      average[i] = float(d * double(average[i]) + (1 - d) * double(weights[step][i]));
  }
  size_t parts = 0;
  for (const auto& [name, t] : run.ema->state()) {
    const Floats got = to_vector<float>(t);
    const int64_t start = run.arena.start(parts++);
    if (t.rank() > 1) continue;  // rows with gaps
    for (size_t k = 0; k < got.size(); ++k)
      EXPECT_NEAR(got[k], average[size_t(start) + k], 1e-6) << name;
  }
  EXPECT_EQ(parts, run.arena.count());
}

TEST_F(Learning, TheAverageIsEvaluatedAndKeptAsBest) {
  const Folder where;
  Training::Setting s = setting(1);
  s.ema = 0.9;
  Training run(set_, s);
  RunFolder folder(where / "run", {});
  run.go(&folder);
  const Tensor live = run.net.conv.weight;
  const Floats weights = to_vector<float>(live);
  Floats averaged;
  std::vector<Answer> answers;
  {
    const optim::Ema::Scope scope(*run.ema);
    averaged = to_vector<float>(run.net.conv.weight);
    EXPECT_NE(run.net.conv.weight.storage, live.storage);
    answers = evaluate(run.net, run.job().forward, run.held_out, Average::softmax).answers;
  }
  EXPECT_EQ(run.net.conv.weight.layout.data, live.layout.data);
  EXPECT_NE(averaged, weights);
  ASSERT_EQ(run.heard.answers.size(), 1u);
  for (size_t i = 0; i < answers.size(); ++i)
    EXPECT_EQ(run.heard.answers[0][i].probabilities, answers[i].probabilities);
  const Checkpoint best = read_checkpoint(where / "run/best.safetensors"),
                   last = read_checkpoint(where / "run/last.safetensors");
  EXPECT_EQ(to_vector<float>(best.tensors.find("conv.weight")), averaged);
  EXPECT_EQ(to_vector<float>(last.tensors.find("conv.weight")), weights);
  EXPECT_EQ(to_vector<float>(last.tensors.find("state.ema.conv.weight")), averaged);
}

TEST_F(Learning, NarrowCopiesOfTheWeightsFollowTheAverage) {
  Net net(true);
  optim::ParameterArena arena(net, Dtype::bf16);
  optim::Ema ema(net, arena, 0.5);
  fill(arena.values(), 1);
  arena.update_working();
  EXPECT_EQ(ema.share(100), 0.5);
  ema.update(full({1}, 0.5, Dtype::f64));
  {
    const optim::Ema::Scope scope(ema);
    EXPECT_NE(to_vector<float>(net.conv.weight), Floats(size_t(net.conv.weight.size()), 1));
    const Tensor rounded = cast(net.conv.weight.detach(), Dtype::bf16);
    EXPECT_EQ(to_vector<float>(cast(net.conv.working_weight, Dtype::f32)),
              to_vector<float>(cast(rounded, Dtype::f32)));
    EXPECT_EQ(net.conv.working_weight.node, net.conv.weight.node);
  }
  EXPECT_EQ(net.conv.working_weight.storage, arena.working().storage);
}

/// All that has a state at once, stopped within an epoch and taken up again: the same bits.
TEST_F(Learning, EverythingIsTakenUpAgainWithinAnEpoch) {
  Training::Setting s = setting(3);
  s.batch = 2;
  s.adamw = true;
  s.ema = 0.9;
  s.rate = 0.01;
  s.options.accumulate = 2;  // three steps an epoch
  s.options.mixup = 0.4;
  s.options.precise_bn = 2;
  Training whole(set_, s);
  whole.go();
  for (int64_t stop : {1, 3, 5}) {
    const Folder where;
    Training::Setting first = s;
    int64_t steps = 0;
    first.after_step = [&] { ++steps; };
    first.options.stop = [&] { return steps >= stop; };
    Training begun(set_, first);
    RunFolder folder(where / "run", {});
    EXPECT_TRUE(begun.go(&folder).result.interrupted);
    Checkpoint checkpoint = read_checkpoint(where / "run/last.safetensors");
    Training rest(set_, s);
    rest.go(nullptr, &checkpoint);
    EXPECT_EQ(rest.heard.steps.size(), size_t(9 - stop));
    EXPECT_EQ(rest.weights(), whole.weights()) << stop;
    EXPECT_EQ(rest.statistics(), whole.statistics()) << stop;
    for (size_t i = 0; i < whole.ema->state().size(); ++i)
      EXPECT_EQ(to_vector<float>(rest.ema->state()[i].second),
                to_vector<float>(whole.ema->state()[i].second));
  }
}

TEST_F(Learning, PreciseStatisticsAreThoseOfAllValues) {
  struct Two : nn::Module {
    nn::BatchNorm first{this, "first", 3}, second{this, "second", 3}, idle{this, "idle", 2};
  } net;
  // Far from 0, where a difference of squares would cancel; batches of unequal size.
  const std::vector<Tensor> batches = {random({2, 7, 3}, 1, Dtype::f32, 1000, 1001),
                                       random({5, 4, 3}, 2, Dtype::f32, 1001, 1003)};
  precise_norm(net, [&] {
    for (const Tensor& x : batches) net.second.forward(net.first.forward(x));
  });
  const Floats means = to_vector<float>(net.first.running_mean),
               variances = to_vector<float>(net.first.running_var);
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0, count = 0;
    for (const Tensor& x : batches)
      for (size_t i = c; i < size_t(x.size()); i += 3) sum += to_vector<float>(x)[i], ++count;
    for (const Tensor& x : batches)
      for (size_t i = c; i < size_t(x.size()); i += 3)
        squares += std::pow(double(to_vector<float>(x)[i]) - sum / count, 2);
    EXPECT_NEAR(means[c], sum / count, 1e-3);  // 8 roundings at 1000
    EXPECT_NEAR(variances[c], squares / count, 1e-3);
  }
  // What the first has normalised, batch by batch, has mean 0 and variance 1.
  for (float v : to_vector<float>(net.second.running_mean)) EXPECT_NEAR(v, 0, 1e-3);
  for (float v : to_vector<float>(net.second.running_var)) EXPECT_NEAR(v, 1, 1e-3);
  EXPECT_EQ(to_vector<float>(net.idle.running_var), (Floats{1, 1}));
}

TEST_F(Learning, PreciseBatchNormChangesStatisticsAndNothingElse) {
  Training::Setting plain = setting(2), precise = setting(2);
  precise.options.precise_bn = 2;
  Training a(set_, plain), b(set_, precise);
  a.go(), b.go();
  EXPECT_EQ(a.weights(), b.weights());
  EXPECT_NE(a.statistics(), b.statistics());
  // By hand, over the first two batches of the last epoch.
  precise_norm(a.net, [&] {
    RandomScope draws(1, 0);
    a.net.train(true);
    a.clips.start_epoch(1);
    video::Batch batch;
    for (int i = 0; i < 2 && a.clips.next(batch); ++i) a.net.forward(batch.clips);
  });
  EXPECT_EQ(a.statistics(), b.statistics());
}

TEST_F(Learning, MixupMixesWhatTheNetworkSees) {
  auto seen = [&](double alpha) {
    Training::Setting s = setting(1);
    s.options.mixup = alpha;
    Training run(set_, s);
    Job job = run.job();
    std::vector<Floats> clips;
    job.forward = [&](const Tensor& x) {
      if (run.net.training()) clips.push_back(to_vector<float>(x));
      return run.net.forward(x);
    };
    const TrainResult r = engine::train::train(job, run.setting.options);
    return std::pair(clips, r.last.train_loss);
  };
  const auto plain = seen(0), mixed = seen(1);
  EXPECT_EQ(mixed, seen(1));
  ASSERT_EQ(mixed.first.size(), plain.first.size());
  EXPECT_NE(mixed.first[0], plain.first[0]);
  EXPECT_NE(mixed.second, plain.second);
  // Each clip is of one level: a mixture lies between the lowest and the highest of its batch.
  const auto [low, high] = std::minmax_element(plain.first[0].begin(), plain.first[0].end());
  for (float v : mixed.first[0]) EXPECT_TRUE(v >= *low - 1e-5 && v <= *high + 1e-5);
}

TEST_F(Learning, PatienceEndsARunThatNoLongerImproves) {
  Training::Setting s = setting(9);
  s.rate = 0;
  s.plain = true;
  s.options.patience = 3;
  const Folder where;
  Training run(set_, s);
  RunFolder folder(where / "run", {});
  run.go(&folder);
  EXPECT_EQ(run.result.epochs, 4);
  EXPECT_EQ(run.result.best_epoch, 1);
  EXPECT_TRUE(run.result.stopped_early);
  Checkpoint checkpoint = read_checkpoint(where / "run/last.safetensors");
  Training again(set_, s);
  again.go(nullptr, &checkpoint);
  EXPECT_EQ(again.result.epochs, 4);
  EXPECT_TRUE(again.heard.steps.empty());
  s.options.patience = 0;
  EXPECT_FALSE(Training(set_, s).go().result.stopped_early);
}

TEST_F(Learning, CheckpointedActivationsTrainToTheSameBits) {
  // The network's own segments are tested in recompute_test; here a whole training, by AdamW.
  auto trained = [&](bool on) {
    Training::Setting s = setting(2);
    s.adamw = true;
    Training run(set_, s);
    Job job = run.job();
    job.forward = [&](const Tensor& x) {
      auto f = [&](const Tensor& in) { return run.net.forward(in); };
      return on ? recomputed(f, x) : f(x);
    };
    engine::train::train(job, run.setting.options);
    return std::pair(run.weights(), run.statistics());
  };
  EXPECT_EQ(trained(true), trained(false));
}

}  // namespace
}  // namespace kinema::test
