#pragma once
#include "kernels/device/rows.h"
#include "kernels/layer_norm/layer_norm.h"

// What the two sources of device code share.
namespace kinema::kernels::device::inline KERNELS_TWIN::layer_norm {

/// Elements of a row that a thread holds in registers: of `most` where they are taken in packs.
constexpr int held(int lanes, int most) { return lanes == 1 ? 8 : most; }

/// Element c of a parameter; `standard` where it is not given.
KERNELS_INLINE float parameter(const float* p, int64_t c, float standard) {
  return p ? p[c] : standard;
}

/// A parameter of `count` in shared memory, rounded up to four floats. All threads of a block take
/// part, and meet before they read.
KERNELS_INLINE void stage(const float* p, int64_t count, float standard, float* shared) {
  for (int64_t c = threadIdx.x; c < round_up(count, 4); c += row_threads)
    shared[c] = c < count ? parameter(p, c, standard) : 0.f;
}

void grad(Stream, const LayerNormKept&, View dy, const LayerNormTargets&);

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::layer_norm
