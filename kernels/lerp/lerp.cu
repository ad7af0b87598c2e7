#include "kernels/device/block_value.h"
#include "kernels/device/map.h"
#include "kernels/lerp/lerp.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::lerp {

constexpr int rounds = 2;

/// Reads x and y once, writes y once.
template <class T, int N>
__global__ void __launch_bounds__(map_threads)
    towards_kernel(Walk walk, const double* share, InOut<T> y, Input<T> x) {
  const float t = block_value<float>([&] { return float(*share); });
  map_floats<N, rounds>(
      walk,
      [t](float b, float a) {
        if (t == 0) return b;
        return t == 1 ? a : b + t * (a - b);
      },
      y, x);
}

void towards(Stream stream, View t, View x, View y) {
  check_lerp(t, x, y);
  if (!y.size()) return;
  dispatch_activation("lerp", y.dtype, [&]<class T>(T) {
    walk_packs<pack_lanes<T>>({y, x}, [&](const Walk& walk, auto lanes) {
      launch("lerp.towards", towards_kernel<T, lanes()>, walk.geometry(rounds), stream, walk,
             data<const double>(t), InOut<T>(walk, y, true), Input<T>(walk, x));
    });
  });
}

// Instantiations: f32, bf16, f16; each in packs of 16 bytes and of one element.

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::lerp

namespace kinema::kernels {

const Lerp KERNELS_DEVICE(lerp) = {.towards = device::lerp::towards};

}  // namespace kinema::kernels
