#include "tests/support/conv3d_device.h"

// grad_weight by the kernels that take every problem: conv3d_grad_weight*.cu.

namespace kinema::test {
namespace {

using kernels::Conv3dCase, kernels::Conv3dOptions, kernels::Conv3dOverride, kernels::Shape;

constexpr int gemm = int(kernels::Conv3dAlgorithm::gemm);

Conv3dOverride plan(int columns, int stages = 0, int splits = 0) {
  return {.algorithm = gemm, .columns = columns, .stages = stages, .splits = splits};
}

std::vector<Conv3dCase> cases() {
  std::vector<Conv3dCase> all;
  for (const Conv3dCase& c : kernels::conv3d_cases)
    if (std::string(c.tag) == "ci") all.push_back(c);
  return all;
}

TEST(Conv3dGradWeightDevice, MatchesTheReference) {
  for (const Conv3dCase& c : cases())
    for (Dtype type : device_types)
      for (int columns : {64, 128}) {
        SCOPED_TRACE(c.what);
        expect_grad_weight(run_of(c, type, plan(columns)));
      }
}

}  // namespace
}  // namespace kinema::test
