#include "kernels/step_control/step_control.h"
#include "kernels/step_control/step_control_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

using kernels::StepControl, kernels::StepNumbers, kernels::Update;

// The same operations on doubles, a root and a quotient among them, which IEEE 754 fixes; compilers
// may keep a product unrounded in a sum. Times 2.
const double bound = 2 * 0x1p-52;

/// Where NumbersOf::field lies.
size_t place(double StepNumbers::*field) {
  constexpr StepNumbers layout{};
  return size_t(&(layout.*field) - &layout.rate);
}

Array numbers(double scale, double squared_norm) {
  std::vector<double> all(size_t(StepNumbers::size), 0);
  all[place(&StepNumbers::loss_scale)] = scale;
  all[place(&StepNumbers::unit)] = all[place(&StepNumbers::clips)] = 4;
  all[place(&StepNumbers::batch_clips)] = 4;
  all[place(&StepNumbers::batches)] = 1;
  all[place(&StepNumbers::squared_norm)] = squared_norm;
  return filled_array({StepNumbers::size}, Dtype::f64, all);
}

TEST(StepControlDevice, EveryPassIsTheReferences) {
  const auto expect = [](const std::vector<Array>& arrays,
                         const std::function<Pass(const StepControl&)>& pass,
                         const std::vector<double>& bounds, const char* what) {
    expect_op_matches(kernels::step_control_reference, &kernels::step_control_cuda,
                      &kernels::step_control_emulated, arrays, pass, bounds, what);
  };
  for (const auto& c : kernels::step_control_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (bool first : {true, false})
      expect(
          {numbers(0x1p16, c.squared_norm), Array({1}, Dtype::i64), Array({3}, Dtype::f32)},
          [&](const StepControl& op) -> Pass {
            return [&](Stream s, const std::vector<View>& v) {
              op.begin(s, {.first = first, .clips = 3, .draw = 77, .mix_share = 0.3, .rate = 0.1},
                       v[0], v[1], v[2]);
            };
          },
          {bound, 0, bound}, "step_control.begin");
    expect(
        {numbers(0x1p16, c.squared_norm), filled_array({1}, Dtype::f32, {c.loss})},
        [&](const StepControl& op) -> Pass {
          return [&](Stream s, const std::vector<View>& v) { op.add(s, c.options, v[1], v[0]); };
        },
        {bound, input}, "step_control.add");
    expect(
        {numbers(0x1p16, c.squared_norm), filled_array({1}, Dtype::i64, {41}),
         Array({Update::size}, Dtype::f64)},
        [&](const StepControl& op) -> Pass {
          return [&](Stream s, const std::vector<View>& v) {
            op.decide(s, c.options, v[0], v[1], v[2]);
          };
        },
        {bound, 0, bound}, "step_control.decide");
    expect(
        {filled_array({1}, Dtype::i64, {41}), Array({Update::size}, Dtype::f64)},
        [&](const StepControl& op) -> Pass {
          return [&](Stream s, const std::vector<View>& v) { op.next(s, 0.1, v[0], v[1]); };
        },
        {0, 0}, "step_control.next");
  }
}

}  // namespace
}  // namespace kinema::test
