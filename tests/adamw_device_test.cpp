#include <cmath>
#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::AdamW, kernels::AdamWOptions;

const Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};
const Dtype narrow_types[] = {Dtype::bf16, Dtype::f16};

// At most 10 operations and factors in f32 on inputs that are f32 already, half a unit each, times
// 2.
const double bound = 10 * epsilon_of(Dtype::f32);

const AdamWOptions variants[] = {
    {},
    {.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.5},
    {.beta1 = 0, .beta2 = 0, .weight_decay = 0},
};

/// A step on w, g, m, v, the working copy, if asked for, and the update.
auto step(const AdamWOptions& o, bool copies) {
  return [=](const AdamW& op) -> Pass {
    return [&op, o, copies](Stream s, const std::vector<View>& v) {
      op.step(s, o, v[5], v[0], v[1], v[2], v[3], copies ? v[4] : View{});
    };
  };
}

/// w, g, m, v, the working copy and the update of step t: v as squares, away from 0, where a root
/// would turn rounding into more.
std::vector<Array> tensors(const Shape& shape, int64_t t, Dtype working, Layout layout,
                           Layout other) {
  return {random_array(shape, Dtype::f32, 1, -1, 1, layout),
          random_array(shape, Dtype::f32, 2, -1, 1, other),
          random_array(shape, Dtype::f32, 3, -1, 1, other),
          random_array(shape, Dtype::f32, 4, 0.01, 1, layout),
          Array(shape, working, other),
          filled_array({4}, Dtype::f64, {0.1, 0.7, 1, double(t)})};
}

void expect_agreement(const AdamWOptions& o, bool copies, const std::vector<Array>& arrays) {
  expect_op_matches(kernels::adamw_reference, &kernels::adamw_cuda, &kernels::adamw_emulated,
                    arrays, step(o, copies),
                    {bound, input, bound, bound, copies ? bound : input, input}, "adamw.step");
}

TEST(AdamWDevice, AgreesWithTheReference) {
  for (const auto& c : kernels::adamw_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (const AdamWOptions& o : variants)
      for (int64_t t : {1, 2, 1000})
        for (Dtype working : narrow_types) {
          if (c.w.size() > 10000 && (small() || t > 1)) continue;
          for (bool copies : {false, true})
            expect_agreement(o, copies, tensors(c.w, t, working, Layout::fresh, Layout::fresh));
        }
  }
}

TEST(AdamWDevice, TensorsMayLieAnyhow) {
  for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 2, 4, 9}, Shape{4, 16}})
    for (Dtype working : narrow_types)
      for (int turn = 0; turn < 4; ++turn)
        for (int next : {0, 1})
          expect_agreement(variants[1], true,
                           tensors(shape, 3, working, layouts[turn], layouts[(turn + next) % 4]));
}

// Moments start at zero, and gradients of parameters that took no part are zero too.
TEST(AdamWDevice, TheFirstStepFromZeros) {
  const Shape shape{66};
  std::vector<Array> arrays = tensors(shape, 1, Dtype::bf16, Layout::fresh, Layout::fresh);
  for (int i : {2, 3}) arrays[size_t(i)].set(std::vector<double>(66, 0));
  std::vector<double> g = arrays[1].values();
  for (size_t i = 0; i < 66; i += 3) g[i] = 0;
  arrays[1].set(g);
  expect_agreement(variants[0], true, arrays);
}

TEST(AdamWDevice, TheWorkingCopyIsTheNewWeightRounded) {
  const Shape shape{5, 67};
  for (const DeviceRun& run : device_runs())
    for (Dtype working : narrow_types) {
      const AdamW& op =
          run.backend == Backend::cuda ? kernels::adamw_cuda : kernels::adamw_emulated;
      const std::vector<Array> after =
          on_device(run, tensors(shape, 2, working, Layout::fresh, Layout::fresh),
                    step(variants[1], true)(op));
      EXPECT_EQ(after[4].values(), filled_array(shape, working, after[0].values()).values());
    }
}

TEST(AdamWDevice, AnUpdateThatDoesNotApplyChangesNothing) {
  std::vector<Array> arrays = tensors({5, 67}, 1, Dtype::bf16, Layout::fresh, Layout::fresh);
  arrays[5] = filled_array({4}, Dtype::f64, {0.1, NAN, 0, 0});
  expect_op_matches(kernels::adamw_reference, &kernels::adamw_cuda, &kernels::adamw_emulated,
                    arrays, step(variants[1], true), {input, input, input, input, input, input},
                    "adamw.step");
}

TEST(AdamWDevice, ReadsAndWritesNothingTwice) {
  const int64_t f32 = 4 * 30001, half = 2 * 30001;
  for (bool copies : {false, true})
    expect_traffic(tensors({30001}, 2, Dtype::bf16, Layout::fresh, Layout::fresh),
                   step(variants[0], copies)(kernels::adamw_emulated),
                   {.read = 4 * f32, .written = 3 * f32 + (copies ? half : 0)}, "adamw.step");
}

TEST(AdamWDevice, RefusesOtherTypes) {
  const Array a({7}, Dtype::bf16), u({4}, Dtype::f64);
  for (const DeviceRun& run : device_runs()) {
    const AdamW& op = run.backend == Backend::cuda ? kernels::adamw_cuda : kernels::adamw_emulated;
    EXPECT_EQ(refusal_of([&] { op.step({}, {}, u.view, a.view, a.view, a.view, a.view, {}); }),
              "adamw: expected f32 weights, got bf16");
  }
}

}  // namespace
}  // namespace kinema::test
