#pragma once
#include <cmath>
#include "kernels/base/philox.h"
#include "kernels/device/twin.h"
#include "kernels/pointwise/pointwise_options.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::pointwise {

/// What dropout multiplies with: a word's upper 24 bits decide as an integer what unit_float(word)
/// >= p would, and kept elements are scaled.
struct DropoutMask {
  uint64_t seed, stream;
  uint32_t threshold;
  float factor;

  DropoutMask(const DropoutOptions& o, uint64_t drawn_from)
      : seed(o.seed),
        stream(drawn_from),
        threshold(uint32_t(std::ceil(o.p * 0x1p24))),
        factor(o.p < 1 ? float(1 / (1 - o.p)) : 0.f) {}

  /// Which of `N` elements from row-major `element` on are kept, as bits. One draw for every four,
  /// and one more where they do not begin with the first of four.
  template <int N>
  KERNELS_BOTH uint32_t kept(int64_t element) const {
    constexpr int draws = (N + 6) / 4;
    const int skip = int(element % 4);
    uint32_t bits = 0;
#pragma unroll
    for (int d = 0; d < draws; ++d) {
      if (4 * d >= skip + N) break;
      const auto words = philox(uint64_t(element / 4 + d), seed, stream);
#pragma unroll
      for (int k = 0; k < 4; ++k)
        bits |= uint32_t(words[size_t(k)] >> 8 >= threshold) << (4 * d + k);
    }
    return bits >> skip;
  }
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::pointwise
