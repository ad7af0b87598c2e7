#include "kernels/lerp/lerp.h"
#include "kernels/lerp/lerp_cases.h"
#include "tests/support/device_check.h"

namespace kinema::test {
namespace {

// One difference, one product and one sum in f32, times 2; the inputs are rounded already.
const double bound = 6 * epsilon_of(Dtype::f32);

TEST(LerpDevice, AgreesWithTheReference) {
  const auto pass = [](const kernels::Lerp& op) -> Pass {
    return [&op](Stream s, const std::vector<View>& v) { op.towards(s, 0.3, v[0], v[1]); };
  };
  for (const auto& c : kernels::lerp_cases) {
    if (std::string(c.tag) != "ci") continue;
    for (Dtype type : device_types)
      for (Layout layout : {Layout::fresh, Layout::odd_slice, Layout::slice, Layout::strided})
        expect_op_matches(
            kernels::lerp_reference, &kernels::lerp_cuda, &kernels::lerp_emulated,
            {random_array(c.x, type, 1, -1, 1, layout), random_array(c.x, type, 2, -1, 1, layout)},
            pass, {input, bound}, "lerp.towards");
  }
}

TEST(LerpDevice, ReadsAndWritesNothingTwice) {
  const Array x = random_array({20003}, Dtype::bf16), y = random_array({20003}, Dtype::bf16, 2);
  expect_traffic(
      {x, y},
      [](Stream s, const std::vector<View>& v) {
        kernels::lerp_emulated.towards(s, 0.3, v[0], v[1]);
      },
      {.read = 2 * 2 * 20003, .written = 2 * 20003}, "lerp.towards");
}

}  // namespace
}  // namespace kinema::test
