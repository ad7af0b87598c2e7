#include "kernels/lerp/lerp.h"
#include "kernels/lerp/lerp_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

// One difference, one product and one sum in f32, times 2; the inputs are rounded already.
const double bound = 6 * epsilon_of(Dtype::f32);

const auto pass = [](const kernels::Lerp& op) -> Pass {
  return [&op](Stream s, const std::vector<View>& v) { op.towards(s, v[2], v[0], v[1]); };
};
Array share(double t) { return filled_array({1}, Dtype::f64, {t}); }

TEST(LerpDevice, AgreesWithTheReference) {
  for (const auto& c : kernels::lerp_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : device_types)
      for (Layout layout : {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided})
        expect_op_matches(kernels::lerp_reference, &kernels::lerp_cuda, &kernels::lerp_emulated,
                          {random_array(c.x, type, 1, -1, 1, layout),
                           random_array(c.x, type, 2, -1, 1, layout), share(0.3)},
                          pass, {input, bound, input}, "lerp.towards");
  }
}

// What it does not look at is poison.
TEST(LerpDevice, AShareOfNoneOrAllLooksAtOneSide) {
  const Shape shape{3, 37};
  for (Dtype type : device_types) {
    const Array good = random_array(shape, type), poison(shape, type);
    expect_op_matches(kernels::lerp_reference, &kernels::lerp_cuda, &kernels::lerp_emulated,
                      {poison, good, share(0)}, pass, {input, 0, input}, "lerp.towards");
    expect_op_matches(kernels::lerp_reference, &kernels::lerp_cuda, &kernels::lerp_emulated,
                      {good, poison, share(1)}, pass, {input, 0, input}, "lerp.towards");
  }
}

TEST(LerpDevice, ReadsAndWritesNothingTwice) {
  const Array x = random_array({20003}, Dtype::bf16), y = random_array({20003}, Dtype::bf16, 2);
  expect_traffic({x, y, share(0.3)}, pass(kernels::lerp_emulated),
                 {.read = 2 * 2 * 20003, .written = 2 * 20003}, "lerp.towards");
}

}  // namespace
}  // namespace kinema::test
