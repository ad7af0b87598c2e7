#include "tests/support/conv3d_device.h"

namespace kinema::test {
namespace {

TEST(Conv3dGemmDevice, Skeleton) {
  const ConvolutionRun run{.x = {1, 2, 3, 3, 4}, .w = {5, 1, 1, 1, 4}, .what = "skeleton"};
  EXPECT_NE(refusal_of([&] { expect_forward(run); }), "x");
}

}  // namespace
}  // namespace kinema::test
