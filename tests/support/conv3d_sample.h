#pragma once
#include <random>
#include "tests/support/conv3d_device.h"

namespace kinema::test {

/// What a sampling test draws by: the environment's KINEMA_SEED, else 1, so that a plain run is the
/// same each time; printed.
uint64_t sampling_seed();

/// True where the race detector or sanitizers make a test several times slower: it draws fewer.
bool watched();

/// Numbers from a seed, the same everywhere.
class Draw {
 public:
  explicit Draw(uint64_t seed) : source_(seed) {}
  int64_t from(int64_t low, int64_t high) {  ///< each of low..high
    return low + int64_t(source_() % uint64_t(high - low + 1));
  }
  bool chance(int percent) { return from(1, 100) <= percent; }
  template <class T, size_t n>
  const T& of(const T (&all)[n]) {
    return all[from(0, int64_t(n) - 1)];
  }

 private:
  std::mt19937_64 source_;
};

/// x [N,T,H,W,C] whose convolution by w takes about `flop` or, if that is more, those of one pixel:
/// one pixel of results at first, then one more along W, H, T, N in turn while the budget lasts and
/// `most` [N,To,Ho,Wo] is not reached. Paddings may give more than was asked for.
Shape shrunk_input(const kernels::Conv3dOptions&, const Shape& w, std::array<int64_t, 4> most,
                   double flop);

/// One pass with all or none of what goes with it, in the types of the run.
void expect_pass(kernels::Conv3dPass, const ConvolutionRun&, bool extras);

}  // namespace kinema::test
