#include <cmath>
#include "kernels/sgd/sgd.h"
#include "kernels/sgd/sgd_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::Sgd, kernels::SgdOptions;

const Layout layouts[] = {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided};
const Dtype narrow_types[] = {Dtype::bf16, Dtype::f16};

// At most 8 operations in f32 on inputs that are f32 already, half a unit each, times 2.
const double bound = 8 * epsilon_of(Dtype::f32);

const SgdOptions variants[] = {
    {},
    {.weight_decay = 0.3},
    {.momentum = 0.9},
    {.momentum = 0.9, .dampening = 0.4, .weight_decay = 0.3},
    {.momentum = 0.9, .nesterov = true, .weight_decay = 0.3},
};

/// A step on w, g, v, the working copy and the update; of v and the copy only what is asked for.
auto step(const SgdOptions& o, bool copies) {
  return [=](const Sgd& op) -> Pass {
    return [&op, o, copies](Stream s, const std::vector<View>& v) {
      op.step(s, o, v[4], v[0], v[1], o.momentum > 0 ? v[2] : View{}, copies ? v[3] : View{});
    };
  };
}

/// w, g, v, the working copy and the update of one step; v is poison where the first step
/// overwrites it.
std::vector<Array> tensors(const Shape& shape, Dtype working, bool first, Layout layout,
                           Layout other) {
  return {
      random_array(shape, Dtype::f32, 1, -1, 1, layout),
      random_array(shape, Dtype::f32, 2, -1, 1, other),
      first ? Array(shape, Dtype::f32, other) : random_array(shape, Dtype::f32, 3, -1, 1, other),
      Array(shape, working, layout),
      filled_array({4}, Dtype::f64, {0.2, 0.7, 1, first ? 1.0 : 2.0})};
}

void expect_agreement(const SgdOptions& o, bool copies, const std::vector<Array>& arrays) {
  expect_op_matches(
      kernels::sgd_reference, &kernels::sgd_cuda, &kernels::sgd_emulated, arrays, step(o, copies),
      {bound, input, o.momentum > 0 ? bound : input, copies ? bound : input, input}, "sgd.step");
}

TEST(SgdDevice, AgreesWithTheReference) {
  for (const auto& c : kernels::sgd_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (const SgdOptions& o : variants)
      for (bool first : {false, true})
        for (Dtype working : narrow_types) {
          if (c.w.size() > 10000 && (small() || first)) continue;
          for (bool copies : {false, true})
            expect_agreement(o, copies, tensors(c.w, working, first, Layout::fresh, Layout::fresh));
        }
  }
}

TEST(SgdDevice, TensorsMayLieAnyhow) {
  for (const Shape& shape : {Shape{3, 5}, Shape{2, 3, 2, 4, 9}, Shape{4, 16}})
    for (Dtype working : narrow_types)
      for (int turn = 0; turn < 4; ++turn)
        for (int next : {0, 1})
          expect_agreement(
              variants[4], true,
              tensors(shape, working, false, layouts[turn], layouts[(turn + next) % 4]));
}

TEST(SgdDevice, TheWorkingCopyIsTheNewWeightRounded) {
  const Shape shape{5, 67};
  for (const DeviceRun& run : device_runs())
    for (Dtype working : narrow_types) {
      const Sgd& op = run.backend == Backend::cuda ? kernels::sgd_cuda : kernels::sgd_emulated;
      const std::vector<Array> after =
          on_device(run, tensors(shape, working, false, Layout::fresh, Layout::fresh),
                    step(variants[3], true)(op));
      EXPECT_EQ(after[3].values(), filled_array(shape, working, after[0].values()).values());
    }
}

TEST(SgdDevice, AnUpdateThatDoesNotApplyChangesNothing) {
  std::vector<Array> arrays = tensors({5, 67}, Dtype::bf16, true, Layout::fresh, Layout::fresh);
  arrays[4] = filled_array({4}, Dtype::f64, {0.2, NAN, 0, 1});
  expect_op_matches(kernels::sgd_reference, &kernels::sgd_cuda, &kernels::sgd_emulated, arrays,
                    step(variants[4], true), {input, input, input, input, input}, "sgd.step");
}

TEST(SgdDevice, ReadsAndWritesNothingTwice) {
  const int64_t f32 = 4 * 30001, half = 2 * 30001;
  for (const SgdOptions& o : {variants[0], variants[2]}) {
    const bool moves = o.momentum > 0;
    expect_traffic(tensors({30001}, Dtype::bf16, false, Layout::fresh, Layout::fresh),
                   step(o, true)(kernels::sgd_emulated),
                   {.read = f32 * (moves ? 3 : 2), .written = f32 * (moves ? 2 : 1) + half},
                   "sgd.step");
  }
}

TEST(SgdDevice, RefusesOtherTypes) {
  const Array w({7}, Dtype::bf16), g({7}, Dtype::bf16), u({4}, Dtype::f64);
  for (const DeviceRun& run : device_runs()) {
    const Sgd& op = run.backend == Backend::cuda ? kernels::sgd_cuda : kernels::sgd_emulated;
    EXPECT_EQ(refusal_of([&] { op.step({}, variants[0], u.view, w.view, g.view, {}, {}); }),
              "sgd: expected f32 weights, got bf16");
  }
}

}  // namespace
}  // namespace kinema::test
