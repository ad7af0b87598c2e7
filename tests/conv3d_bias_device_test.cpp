#include <sstream>
#include "tests/support/conv3d_device.h"

namespace kinema::test {
namespace {

/// Sums run in double: what is left is the rounding of the result to f32.
constexpr double bound = 1e-6;

void expect_grad_bias(const Shape& dy, Dtype type, Layout layout, bool accumulate) {
  const Array old = random_array({dy[4]}, Dtype::f32, 2);
  const std::vector<Array> arrays{random_array(dy, type, 1, -1, 1, layout),
                                  accumulate ? old : Array({dy[4]}, Dtype::f32)};
  std::ostringstream what;
  what << "conv3d.grad_bias " << type << " dy " << dy << (accumulate ? ", accumulate" : "");
  expect_op_matches(
      kernels::conv3d_reference, &kernels::conv3d_cuda, &kernels::conv3d_emulated, arrays,
      [&](const kernels::Conv3d& op) -> Pass {
        return
            [&](Stream s, const std::vector<View>& v) { op.grad_bias(s, v[0], v[1], accumulate); };
      },
      {input, bound}, what.str());
}

TEST(Conv3dBiasDevice, AllTypes) {
  for (Dtype type : device_types)
    for (bool accumulate : {false, true})
      expect_grad_bias({2, 3, 5, 7, 45}, type, Layout::fresh, accumulate);
}

TEST(Conv3dBiasDevice, AnySlice) {
  for (Layout layout : {Layout::odd_slice, Layout::slice, Layout::strided})
    expect_grad_bias({2, 3, 4, 5, 20}, Dtype::bf16, layout, true);
}

TEST(Conv3dBiasDevice, Edges) {
  expect_grad_bias({0, 2, 3, 3, 4}, Dtype::f32, Layout::fresh, false);
  expect_grad_bias({1, 2, 3, 3, 0}, Dtype::f32, Layout::fresh, false);
  expect_grad_bias({1, 1, 1, 1, 1}, Dtype::f16, Layout::fresh, false);
  expect_grad_bias({1, 1, 1, 1, 300}, Dtype::f32, Layout::fresh, true);
}

/// Few channels and many pixels: the sums of two steps.
TEST(Conv3dBiasDevice, ManyPixels) {
  expect_grad_bias({2, 4, small() ? 10 : 40, 40, 3}, Dtype::f32, Layout::fresh, false);
}

}  // namespace
}  // namespace kinema::test
