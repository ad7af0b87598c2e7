#include <cstdlib>
#include <iostream>
#include "tests/support/conv3d_sample.h"

namespace kinema::test {

uint64_t sampling_seed() {
  const char* given = std::getenv("KINEMA_SEED");
  const uint64_t seed = given ? std::strtoull(given, nullptr, 10) : 1;
  std::cout << "sampled by KINEMA_SEED=" << seed << '\n';
  return seed;
}

bool watched() {
#ifdef __SANITIZE_ADDRESS__
  return true;
#else
  return small();
#endif
}

Shape shrunk_input(const kernels::Conv3dOptions& o, const Shape& w, std::array<int64_t, 4> most,
                   double flop) {
  std::array<int64_t, 4> out{1, 1, 1, 1};
  double cost = 2.0 * double(w.size());
  for (bool grown = true; grown;) {
    grown = false;
    for (size_t a : {3u, 2u, 1u, 0u}) {
      const double more = cost / double(out[a]) * double(out[a] + 1);
      if (out[a] == most[a] || more > flop) continue;
      ++out[a];
      cost = more;
      grown = true;
    }
  }
  Shape x{out[0], 1, 1, 1, w[4] * o.groups};
  for (int i = 0; i < 3; ++i) {
    const size_t a = size_t(i);
    const int64_t reach = (w[1 + i] - 1) * o.dilation[a] + 1;
    const int64_t needed = (out[a + 1] - 1) * o.stride[a] + reach - o.pad_front[a] - o.pad_back[a];
    x[1 + i] = std::max<int64_t>(needed, 1);
  }
  return x;
}

void expect_pass(kernels::Conv3dPass pass, const ConvolutionRun& r, bool extras) {
  switch (pass) {
    case kernels::Conv3dPass::forward:
      return expect_forward(r, extras ? all_extras : Extras{});
    case kernels::Conv3dPass::grad_input:
      return expect_grad_input(r, extras ? all_grad_extras : GradExtras{});
    case kernels::Conv3dPass::grad_weight:
      return expect_grad_weight(r, extras);
  }
}

}  // namespace kinema::test
