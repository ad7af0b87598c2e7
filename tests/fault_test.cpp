// A number that is not finite: what names it, and that nothing is changed by the step that met it.
#include "engine/train/fault.h"
#include <cstring>
#include "engine/ops/pointwise.h"
#include "engine/recompute.h"
#include "engine/train/step.h"
#include "tests/support/training.h"

namespace kinema::test {
namespace {

const float nan = std::nanf("");
const float infinity = std::numeric_limits<float>::infinity();

/// y = x, whose gradient in `wanted` gets `planted` in one place.
Tensor spoil(const Tensor& x, const Tensor& wanted, float planted) {
  Tensor y = empty_like(x);
  copy(x, y);
  return record("spoil", y, {x, wanted}, [planted](const Tensor& dy, Gradients& to) {
    to.pass(0, dy);
    if (!to.wants(1)) return;
    const Target d = to.target(1);
    fill(d.grad, 0);
    data<float>(d.grad)[0] = planted;
  });
}

class FaultTest : public TrainingTest {
 protected:
  video::Batch batch() {
    video::Batch b;
    training.clips.start_epoch(0);
    EXPECT_TRUE(training.clips.next(b));
    return b;
  }
  /// Step number `step` on b and what batches follow it.
  static void run(const Job& job, const TrainOptions& options, const video::Batch& b, int64_t step,
                  Metrics& metrics) {
    Feed feed(job.train.recipe());
    std::vector<FedBatch> batches;
    batches.push_back(feed.bring(b));
    for (video::Batch next; int64_t(batches.size()) < options.accumulate && job.train.next(next);)
      batches.push_back(feed.bring(std::move(next)));
    Step one(job, options);
    one.enqueue(std::move(batches), step);
    one.finish(metrics);
  }
  /// What the step says that fails, and that it leaves all as it was.
  std::string failure(const video::Batch& b, const Job& job, int64_t step = 6) {
    const Floats weights = training.weights(), statistics = training.statistics();
    const double steps = item(training.optimiser->state()[0].second);
    Metrics metrics(3);
    const std::string text = refusal([&] { run(job, training.setting.options, b, step, metrics); });
    EXPECT_EQ(item(training.optimiser->state()[0].second), steps);
    EXPECT_EQ(training.statistics(), statistics);
    const Floats after = training.weights();
    EXPECT_EQ(std::memcmp(after.data(), weights.data(), weights.size() * sizeof(float)), 0);
    return text;
  }
  std::string failure() { return failure(batch(), training.job()); }
  static std::string named(const std::string& fault, int64_t step = 7) {
    return "train: at step " + std::to_string(step) + " " + fault +
           "; weights and checkpoints are as before it; try a lower --lr or --clip-norm";
  }

  Training training{set_, {}};
};

TEST_F(FaultTest, AWeight) {
  data<float>(training.net.conv.weight)[7] = nan;
  EXPECT_EQ(failure(), named("weight conv.weight [5,3,3,3,3] holds NaN"));
  data<float>(training.net.conv.weight)[7] = 0;
  data<float>(training.net.classify.bias)[1] = -infinity;
  EXPECT_EQ(failure(), named("weight classify.bias [3] holds Inf"));
}

TEST_F(FaultTest, AWeightBeforeAFusedRelu) {
  Training::Setting setting;
  setting.plain = true;
  Training plain(set_, setting);
  data<float>(plain.net.conv.weight)[0] = nan;
  Metrics metrics(3);
  const Job job = plain.job();
  EXPECT_EQ(refusal([&] { run(job, plain.setting.options, batch(), 6, metrics); }),
            named("weight conv.weight [5,3,3,3,3] holds NaN"));
}

TEST_F(FaultTest, AClip) {
  video::Batch b = batch();
  const int64_t last = b.clips.shape(0) - 1;
  data<float>(b.clips)[last * b.clips.layout.stride(0)] = nan;
  const std::string path = set_.samples[size_t(b.index[size_t(last)])].path;
  EXPECT_EQ(failure(b, training.job()), named("the clip of \"" + path + "\" holds NaN"));
}

/// Finite weights whose sums are not: what a far too high learning rate leaves.
TEST_F(FaultTest, AnActivation) {
  fill(training.net.conv.weight, 3e38);
  EXPECT_EQ(failure(), named("the output of conv3d in conv [4,4,12,12,5] holds Inf"));
  training.net.initialise(5);
  fill(training.net.norm.weight, 1e30);
  fill(training.net.classify.weight, 1e30);
  const std::string text = failure();
  EXPECT_TRUE(text == named("the output of linear in classify [4,3] holds Inf") ||
              text == named("the output of linear in classify [4,3] holds NaN"))
      << text;
}

TEST_F(FaultTest, AnOperationOutsideOfAnyModule) {
  Job job = training.job();
  job.forward = [&](const Tensor& x) {
    const Tensor scores = training.net.forward(x);
    return multiply(scores, full(scores.shape(), 1e38 * 10));
  };
  const std::string text = failure(batch(), job);
  EXPECT_EQ(text, named("the output of multiply [4,3] holds Inf"));
}

TEST_F(FaultTest, AGradientWhereTheForwardPassIsFinite) {
  Job job = training.job();
  job.forward = [&](const Tensor& x) {
    return spoil(training.net.forward(x), training.net.norm.weight, infinity);
  };
  EXPECT_EQ(failure(batch(), job), named("the gradient of weight norm.weight [5], by spoil, holds "
                                         "Inf"));
  job.forward = [&](const Tensor& x) {
    const Tensor scores = training.net.forward(x), inner = add(scores, scores);
    return spoil(scores, inner, nan);
  };
  EXPECT_EQ(failure(batch(), job), named("the gradient of the input of spoil [4,3] holds NaN"));
}

TEST_F(FaultTest, InsideOfASegmentThatIsComputedAgain) {
  Job job = training.job();
  job.forward = [&](const Tensor& x) {
    return recomputed(
        [&](const Tensor& in) {
          const PathScope path("block");
          return spoil(training.net.forward(in), training.net.norm.weight, nan);
        },
        x);
  };
  EXPECT_EQ(failure(batch(), job),
            named("the gradient of weight norm.weight [5], by spoil in block, holds NaN"));
}

TEST_F(FaultTest, OfSeveralBatchesTheOneThatHasIt) {
  training.setting.options.accumulate = 3;
  int64_t passes = 0;
  Job job = training.job();
  job.forward = [&](const Tensor& x) {
    const Tensor scores = training.net.forward(x);
    // The second batch of three, and then once more to be named.
    return ++passes % 2 ? scores : spoil(scores, training.net.classify.bias, nan);
  };
  EXPECT_EQ(failure(batch(), job),
            named("the gradient of weight classify.bias [3], by spoil, holds NaN"));
  EXPECT_EQ(passes, 4);
}

TEST_F(FaultTest, WeightsThatTheLastStepMadeAreNotSaved) {
  const Folder where;
  RunFolder folder(where / "run", {});
  training.setting.options.epochs = 2;
  Job job = training.job(&folder);
  job.learning_rate = [](int64_t step) { return step == 5 ? INFINITY : 0.1; };
  const std::string text = refusal([&] { engine::train::train(job, training.setting.options); });
  EXPECT_EQ(text.rfind("train: after step 6 weight conv.weight [5,3,3,3,3] holds ", 0), 0u) << text;
  const Checkpoint last = read_checkpoint(where / "run/last.safetensors");
  EXPECT_EQ(last.run["progress"]["step"], 3);
  EXPECT_FALSE(fault_of(last.tensors.find("conv.weight")));
}

TEST_F(FaultTest, ATensorIsJudgedByItsElements) {
  EXPECT_FALSE(fault_of(full({2, 3}, 3e38)));  // whose squares overflow f32
  EXPECT_FALSE(fault_of(empty({0})));
  EXPECT_FALSE(fault_of(full({2}, 7, Dtype::i64)));
  Tensor t = full({2, 3}, 1);
  data<float>(t)[3] = nan;  // a lane behind the row
  EXPECT_FALSE(fault_of(t));
  data<float>(t)[6] = -infinity;
  EXPECT_EQ(fault_of(t), "Inf");
  data<float>(t)[1] = nan;
  EXPECT_EQ(fault_of(t), "NaN");
}

}  // namespace
}  // namespace kinema::test
