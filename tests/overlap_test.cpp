// Training with a step on its way before the one before it is heard of: what is learned, said,
// saved and refused is what it is without. On a CPU the device is never behind, so what is shown
// here is that nothing asks it too early, and that what it was told late is still right.
#include <cstring>
#include <fstream>
#include <sstream>
#include "engine/ops/pointwise.h"
#include "engine/train/step.h"
#include "tests/support/training.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;

const float nan = std::nanf("");

/// y = x, whose gradient in `wanted` gets a NaN.
Tensor spoil(const Tensor& x, const Tensor& wanted) {
  Tensor y = empty_like(x);
  copy(x, y);
  return record("spoil", y, {x, wanted}, [](const Tensor& dy, Gradients& to) {
    to.pass(0, dy);
    if (to.wants(1)) fill(to.target(1).grad, double(nan));
  });
}

class Overlap : public TrainingTest {
 protected:
  /// Two epochs of six steps of two videos each.
  static Training::Setting setting(bool overlap) {
    Training::Setting s;
    s.batch = 2;
    s.ema = 0.9;
    s.options.epochs = 2;
    s.options.checkpoint_every = 4;
    s.options.overlap = overlap;
    return s;
  }
  static std::map<std::string, std::string> checkpoints(const fs::path& run) {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::directory_iterator(run)) {
      if (entry.path().extension() != ".safetensors") continue;
      std::ostringstream bytes;
      bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      all[entry.path().filename()] = bytes.str();
    }
    return all;
  }
  /// What listeners heard, but for times.
  static std::vector<std::vector<double>> told(const Training& run) {
    std::vector<std::vector<double>> all;
    for (const StepMetrics& s : run.heard.steps)
      all.push_back({double(s.step), double(s.epoch), s.learning_rate, s.loss,
                     std::isnan(s.gradient_norm) ? -1 : s.gradient_norm});
    return all;
  }
  static void expect_same(const Training& a, const Training& b) {
    EXPECT_EQ(told(a), told(b));
    EXPECT_EQ(a.weights(), b.weights());
    EXPECT_EQ(a.statistics(), b.statistics());
    EXPECT_EQ(a.rates_asked, b.rates_asked);
    EXPECT_EQ(a.result.steps, b.result.steps);
    EXPECT_EQ(a.result.skipped, b.result.skipped);
  }
};

TEST_F(Overlap, LearnsAndSavesTheSameBits) {
  for (int64_t accumulate : {1, 4})
    for (double mixup : {0.0, 0.4}) {
      const Folder where;
      std::unique_ptr<Training> runs[2];
      for (bool overlap : {false, true}) {
        Training::Setting s = setting(overlap);
        s.options.accumulate = accumulate;
        s.options.mixup = mixup;
        s.options.clip_norm = 0.5;
        RunFolder folder(where / (overlap ? "b" : "a"), {});
        folder.keep(100);
        runs[overlap] = std::make_unique<Training>(set_, s);
        runs[overlap]->go(&folder);
      }
      ASSERT_EQ(runs[0]->heard.steps.size(), accumulate == 1 ? 12u : 4u);
      expect_same(*runs[1], *runs[0]);
      EXPECT_EQ(checkpoints(where / "b"), checkpoints(where / "a"));
    }
}

TEST_F(Overlap, AStepIsOnItsWayBeforeTheLastIsHeardOf) {
  for (bool overlap : {false, true}) {
    std::string order;
    Training::Setting s = setting(overlap);
    s.options.epochs = 1;
    s.options.checkpoint_every = 0;
    s.after_step = [&] { order += 'h'; };
    Training run(set_, s);
    Job job = run.job();
    const auto forward = job.forward;
    job.forward = [&](const Tensor& x) {
      if (grad_mode()) order += 'f';
      return forward(x);
    };
    engine::train::train(job, run.setting.options);
    EXPECT_EQ(order, overlap ? "ffhfhfhfhfhh" : "fhfhfhfhfhfh");
  }
}

TEST_F(Overlap, AnInterruptedRunGoesOnBitForBit) {
  Training whole(set_, setting(false));
  whole.go();
  for (int asked : {1, 5, 6, 7}) {
    const Folder where;
    Training::Setting s = setting(true);
    int left = asked;
    s.options.stop = [&] { return --left == 0; };
    Training first(set_, s);
    {
      RunFolder folder(where / "run", {});
      first.go(&folder);
    }
    EXPECT_TRUE(first.result.interrupted);
    EXPECT_EQ(int64_t(first.heard.steps.size()), first.result.steps);
    Checkpoint checkpoint = read_checkpoint(where / "run/last.safetensors");
    EXPECT_EQ(checkpoint.run["progress"]["step"], first.result.steps);
    Training second(set_, setting(true));
    second.go(nullptr, &checkpoint);
    EXPECT_EQ(second.weights(), whole.weights()) << asked;
    EXPECT_EQ(second.statistics(), whole.statistics()) << asked;
    EXPECT_EQ(first.result.steps + int64_t(second.heard.steps.size()), 12);
  }
}

TEST_F(Overlap, SkippedStepsAreSkipped) {
  std::unique_ptr<Training> runs[2];
  for (bool overlap : {false, true}) {
    Training::Setting s = setting(overlap);
    s.precision = Dtype::f16;
    runs[overlap] = std::make_unique<Training>(set_, s);
    // Gradients overflow at first: each overflow halves the scale that the next step finds.
    runs[overlap]->scale.restore({{"factor", 0x1p26}, {"good_steps", 0}, {"skipped_steps", 0}});
    runs[overlap]->go();
  }
  EXPECT_GE(runs[0]->result.skipped, 2);
  EXPECT_LT(runs[0]->result.skipped, 12);
  expect_same(*runs[1], *runs[0]);
  EXPECT_EQ(runs[1]->scale.values(), runs[0]->scale.values());
}

TEST_F(Overlap, AFaultIsThatOfItsStepAndNothingIsAppliedBehindIt) {
  for (int64_t accumulate : {1, 2}) {
    Training::Setting s = setting(false);
    s.options.accumulate = accumulate;
    s.options.checkpoint_every = 0;
    Training before(set_, s);
    before.setting.options.stop = [&] { return before.heard.steps.size() == 1; };
    before.go();
    s.options.overlap = true;
    Training run(set_, s);
    Job job = run.job();
    int64_t behind = 0;
    job.forward = [&](const Tensor& x) {
      const Tensor scores = run.net.forward(x);
      const auto state = random_state();
      if (!state || !grad_mode()) return scores;
      behind += int64_t(state->step) >= 2 * accumulate;
      // The last batch of the second step.
      const bool bad = int64_t(state->step) == 2 * accumulate - 1;
      return bad ? spoil(scores, run.net.classify.bias) : scores;
    };
    EXPECT_EQ(refusal([&] { engine::train::train(job, run.setting.options); }),
              "train: at step 2 the gradient of weight classify.bias [3], by spoil, holds NaN; "
              "weights and checkpoints are as before it; try a lower --lr or --clip-norm");
    EXPECT_EQ(behind, accumulate);  // the third step was on its way
    EXPECT_EQ(run.heard.steps.size(), 1u);
    EXPECT_EQ(run.weights(), before.weights());
    EXPECT_EQ(run.statistics(), before.statistics());
    EXPECT_EQ(item(run.optimiser->steps()), 1);
    for (size_t i = 0; i < run.ema->state().size(); ++i)
      EXPECT_EQ(to_vector<float>(run.ema->state()[i].second),
                to_vector<float>(before.ema->state()[i].second));
  }
}

/// Where draws are told apart by a number that the device is told: the same as the host's.
TEST_F(Overlap, EachPassDrawsWhatItsNumberSays) {
  const Tensor ones = full({100}, 1);
  for (bool overlap : {false, true}) {
    Training::Setting s = setting(overlap);
    s.options.accumulate = 2;
    s.options.epochs = 1;
    s.options.seed = 9;
    Training run(set_, s);
    Job job = run.job();
    std::vector<Floats> drawn;
    job.forward = [&](const Tensor& x) {
      if (grad_mode()) drawn.push_back(to_vector<float>(dropout(ones, 0.5)));
      return run.net.forward(x);
    };
    engine::train::train(job, run.setting.options);
    ASSERT_EQ(drawn.size(), 6u);
    for (size_t i = 0; i < drawn.size(); ++i) {
      const RandomScope random(9, i);
      EXPECT_EQ(drawn[i], to_vector<float>(dropout(ones, 0.5))) << i;
    }
  }
}

TEST_F(Overlap, AClipIsThatOfItsBatch) {
  Training run(set_, setting(true));
  const Job job = run.job();
  Step step(job, run.setting.options);
  Feed feed(job.train.recipe());
  std::string path;
  job.train.start_epoch(0);
  for (int64_t i = 0; i < 2; ++i) {
    video::Batch b;
    ASSERT_TRUE(job.train.next(b));
    if (i == 0) {
      data<float>(b.clips)[b.clips.layout.stride(0)] = nan;
      path = set_.samples[size_t(b.index[1])].path;
    }
    std::vector<FedBatch> batches;
    batches.push_back(feed.bring(std::move(b)));
    step.enqueue(std::move(batches), i);
  }
  EXPECT_EQ(refusal([&] { step.enqueue({}, 2); }), "step: expected batches, got none");
  EXPECT_EQ(refusal([&] { step.enqueue(std::vector<FedBatch>(1), 2); }),
            "step: finish a step before the next but one is enqueued");
  Metrics metrics(3);
  EXPECT_EQ(refusal([&] { step.finish(metrics); }),
            "train: at step 1 the clip of \"" + path +
                "\" holds NaN; weights and checkpoints are as before it; try a lower --lr or "
                "--clip-norm");
}

}  // namespace
}  // namespace kinema::test
