#include "tests/support/conv3d_device.h"

namespace kinema::test {
namespace {

using kernels::Conv3dAlgorithm, kernels::Conv3dCase;

constexpr kernels::Conv3dOverride depthwise = {.algorithm = int(Conv3dAlgorithm::depthwise)};

TEST(Conv3dDepthwiseDevice, Cases) {
  for (const Conv3dCase& c : kernels::conv3d_cases) {
    if (std::string(c.tag) != "ci" || c.w[4] != 1) continue;
    for (Dtype type : device_types) {
      expect_forward(run_of(c, type, depthwise), all_extras);
      expect_grad_input(run_of(c, type, depthwise), all_grad_extras);
      expect_grad_weight(run_of(c, type, depthwise));
      expect_grad_weight(run_of(c, type, depthwise), true);
    }
  }
}

}  // namespace
}  // namespace kinema::test
