// Each number of a step against what it must be, worked out by hand.
#include "kernels/step_control/step_control.h"
#include <cmath>
#include "engine/ops/step_control.h"
#include "kernels/step_control/step_control_cases.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

const double infinity = INFINITY;

/// The tensors of one training.
struct Control {
  Tensor numbers = full({StepNumbers::size}, 0, Dtype::f64), draw = full({1}, -1, Dtype::i64),
         factors = full({3}, -1), steps = full({1}, 0, Dtype::i64),
         update = full({Update::size}, -1, Dtype::f64);
  StepControlOptions options;

  explicit Control(const StepControlOptions& o, double scale = 1) : options(o) {
    now().loss_scale = scale;
  }
  StepNumbers& now() const { return numbers_in(numbers); }
  const Update& updated() const { return *kernels::update_of(update.view()); }
  void batch(const StepBatch& b, double squared_norm, double loss) const {
    begin_batch(b, numbers, draw, factors);
    now().squared_norm = squared_norm;
    add_batch(options, full({1}, loss), numbers);
  }
  void decide() const { decide_step(options, numbers, steps, update); }
  /// A step of one batch of four clips.
  void step(double squared_norm, double loss) const {
    batch({.clips = 4, .rate = 0.1, .average_share = 0.5}, squared_norm, loss);
    decide();
  }
};

TEST(StepControl, ASumOverBatchesIsWeightedByClips) {
  const Control c({}, 8);
  c.batch({.clips = 4, .draw = 30, .mix_share = 0.75, .rate = 0.1, .average_share = 0.25}, 1, 2);
  EXPECT_EQ(item(c.draw), 30);
  EXPECT_EQ(to_vector<float>(c.factors), (std::vector<float>{8, 0.75, 0.25}));
  c.batch({.first = false, .clips = 2, .draw = 31, .rate = 99, .average_share = 99}, 9, 5);
  EXPECT_EQ(item(c.draw), 31);
  EXPECT_EQ(to_vector<float>(c.factors), (std::vector<float>{4, 1, 0}));
  c.decide();
  EXPECT_EQ(c.now().clips, 6);
  EXPECT_EQ(c.now().batches, 2);
  EXPECT_EQ(c.now().loss_sum, 4 * 2 + 2 * 5);
  // Gradients of sums in units of 4 clips' means, times 8.
  EXPECT_EQ(c.now().norm, 3 * (4.0 / 6 / 8));
  EXPECT_EQ(c.updated().rate, 0.1);
  EXPECT_EQ(c.updated().factor, 4.0 / 6 / 8);
  EXPECT_EQ(c.updated().apply, 1);
  EXPECT_EQ(c.updated().number, 1);
  EXPECT_EQ(item(c.steps), 1);
  EXPECT_EQ(c.now().applied, 1);
  EXPECT_EQ(c.now().average, 0.25);
  EXPECT_EQ(c.now().put_back, 0);
  EXPECT_EQ(c.now().loss_scale, 8);
  // The next step knows nothing of this one's sums.
  c.step(4, 3);
  EXPECT_EQ(c.now().loss_sum, 12);
  EXPECT_EQ(c.now().batches, 1);
  EXPECT_EQ(c.now().norm, 2.0 / 8);
  EXPECT_EQ(c.updated().number, 2);
}

TEST(StepControl, LongGradientsAreClipped) {
  const Control c({.clip_norm = 2});
  c.step(16, 1);
  EXPECT_EQ(c.now().norm, 4);
  EXPECT_EQ(c.updated().factor, 0.5);
  c.step(4, 1);
  EXPECT_EQ(c.updated().factor, 1);
}

TEST(StepControl, AnOverflowIsSkippedAndHalvesTheScale) {
  const Control c({.scales = true, .most_scale = 0x1p20, .patience = 3}, 0x1p16);
  c.step(4, 1);
  c.step(infinity, 1);
  EXPECT_EQ(c.now().bad_batch, 0);
  EXPECT_EQ(c.updated().apply, 0);
  EXPECT_EQ(c.updated().number, 1);
  EXPECT_EQ(c.now().average, 0);
  EXPECT_EQ(c.now().put_back, 1);
  EXPECT_TRUE(std::isnan(c.now().norm));
  EXPECT_EQ(c.now().loss_scale, 0x1p15);
  EXPECT_EQ(c.now().skipped_steps, 1);
  c.step(4, 1);
  EXPECT_EQ(c.updated().apply, 1);
  EXPECT_EQ(c.updated().number, 2);
  EXPECT_EQ(c.updated().factor, 0x1p-15);
  EXPECT_EQ(c.now().put_back, 0);
  // It doubles after three good steps, the factor is still that of the gradients.
  c.step(4, 1);
  EXPECT_EQ(c.now().loss_scale, 0x1p15);
  c.step(4, 1);
  EXPECT_EQ(c.updated().factor, 0x1p-15);
  EXPECT_EQ(c.now().loss_scale, 0x1p16);
  EXPECT_EQ(c.now().good_steps, 0);
}

TEST(StepControl, TheScaleStaysBetweenItsBounds) {
  const Control low({.scales = true, .least_scale = 1, .most_scale = 4, .patience = 1}, 2);
  low.step(infinity, 1);
  EXPECT_EQ(low.now().loss_scale, 1);
  for (double scale : {2, 4, 4}) {
    low.step(1, 1);
    EXPECT_EQ(low.now().loss_scale, scale);
  }
}

TEST(StepControl, NothingIsAppliedAfterAFault) {
  struct Fault {
    double squared_norm, loss, scale;
  };
  for (const Fault& f :
       {Fault{1, NAN, 0x1p16}, {1, infinity, 0x1p16}, {infinity, 1, 1}, {NAN, 1, 1}}) {
    const Control c({.scales = true, .most_scale = 0x1p20, .patience = 1}, f.scale);
    c.batch({.clips = 4, .rate = 0.1, .average_share = 0.5}, 1, 1);
    c.batch({.first = false, .clips = 4}, f.squared_norm, f.loss);
    c.batch({.first = false, .clips = 4}, f.squared_norm, f.loss);
    c.decide();
    EXPECT_EQ(c.now().bad_batch, 2);
    for (int again : {0, 1}) {
      EXPECT_EQ(c.updated().apply, 0) << again;
      EXPECT_EQ(c.now().put_back, 1);
      EXPECT_EQ(item(c.steps), 0);
      EXPECT_EQ(c.now().loss_scale, f.scale);
      EXPECT_EQ(c.now().skipped_steps, 0);
      c.step(1, 1);  // a good one
      EXPECT_EQ(c.now().bad_batch, 0);
    }
  }
}

TEST(StepControl, AnUpdateOfItsOwn) {
  const Control c({});
  for (double number : {1, 2}) {
    next_update(0.5, c.steps, c.update);
    EXPECT_EQ(to_vector<double>(c.update), (std::vector<double>{0.5, 1, 1, number}));
    EXPECT_EQ(item(c.steps), number);
  }
}

TEST(StepControl, FieldsAreWhereTheyAre) {
  const Control c({});
  c.now().average = 7;
  c.now().rate = 3;
  c.now().skipped_steps = 5;
  EXPECT_EQ(item(number_of(c.numbers, &StepNumbers::average)), 7);
  EXPECT_EQ(item(number_of(c.numbers, &StepNumbers::rate)), 3);
  EXPECT_EQ(item(number_of(c.numbers, &StepNumbers::skipped_steps)), 5);
}

TEST(StepControl, AllCasesRunOnBothBackends) {
  for (const auto& c : kernels::step_control_cases) {
    if (std::string(c.tag) != "ci") continue;
    std::vector<double> found[2];
    for (Backend b : {Backend::reference, Backend::cpu}) {
      const BackendScope scope(b);
      const Control control(c.options, 0x1p16);
      for (int i = 0; i < c.batches; ++i)
        control.batch({.first = i == 0, .clips = 4, .rate = 1}, c.squared_norm, c.loss);
      control.decide();
      EXPECT_EQ(control.now().batches, c.batches);
      found[b == Backend::cpu] = to_vector<double>(control.update);
    }
    EXPECT_EQ(found[1], found[0]);
  }
}

TEST(StepControl, RefusesWhatDoesNotFit) {
  const Control c({});
  EXPECT_EQ(refusal([&] { begin_batch({}, c.update, c.draw, c.factors); }),
            "step_control: numbers must be f64 [17], got f64 [4]");
  EXPECT_EQ(refusal([&] { begin_batch({}, c.numbers, c.factors, c.factors); }),
            "step_control: draw must be i64 [1], got f32 [3]");
  EXPECT_EQ(refusal([&] { begin_batch({}, c.numbers, c.draw, c.draw); }),
            "step_control: factors must be f32 [3], got i64 [1]");
  EXPECT_EQ(refusal([&] { add_batch({}, c.draw, c.numbers); }),
            "step_control: loss must be f32 [1], got i64 [1]");
  EXPECT_EQ(refusal([&] { decide_step({}, c.numbers, c.draw, c.numbers); }),
            "step_control: the update must be f64 [4], got f64 [17]");
  EXPECT_EQ(refusal([&] { next_update(1, c.update, c.update); }),
            "step_control: steps must be i64 [1], got f64 [4]");
}

}  // namespace
}  // namespace kinema::test
