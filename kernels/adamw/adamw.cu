#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_factors.h"
#include "kernels/device/block_value.h"
#include "kernels/device/map.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::adamw {

constexpr int lanes_at_once = pack_lanes<float>, rounds = 2;

/// The new w; m and v move on.
KERNELS_INLINE float next(const AdamWFactors& f, float w, float g, float& m, float& v) {
  const float d = f.factor * g;
  m = f.beta1 * m + f.fresh1 * d;
  v = f.beta2 * v + f.fresh2 * d * d;
  return f.keep * w - f.step * m / (sqrtf(v) * f.root + f.eps);
}

/// All parameters in one pass, as they lie in one arena: reads w, g, m and v once, writes w, m, v
/// and the working copy, where it is given, once.
template <class Working, int N>
__global__ void __launch_bounds__(map_threads)
    step_kernel(Walk walk, AdamWOptions options, const Update* update, InOut<float> w,
                Input<float> g, InOut<float> m, InOut<float> v, Output<Working> working) {
  const AdamWFactors factors = block_value<AdamWFactors>([&] {
    return adamw_factors(options, *update, 1 / sqrt(1 - power(options.beta2, update->number)));
  });
  if (!factors.apply) return;
  map<N, rounds>(
      walk,
      [factors](int64_t, auto& weight, const auto& gradient, auto& mean, auto& square,
                auto& narrow) {
#pragma unroll
        for (int k = 0; k < weight.size; ++k) {
          weight.lane[k] =
              next(factors, weight.lane[k], gradient.lane[k], mean.lane[k], square.lane[k]);
          narrow.lane[k] = from_float<Working>(weight.lane[k]);
        }
      },
      w, g, m, v, working);
}

void step(Stream stream, const AdamWOptions& o, View update, View w, View g, View m, View v,
          View working) {
  check_adamw(o, update, w, g, m, v, working);
  check(w.dtype == Dtype::f32, "adamw: expected f32 weights, got ", w.dtype);
  if (!w.size()) return;
  dispatch_narrow(working, [&]<class Working>(Working) {
    walk_packs<lanes_at_once>({w, g, m, v, working}, [&](const Walk& walk, auto lanes) {
      launch("adamw.step", step_kernel<Working, lanes()>, walk.geometry(rounds), stream, walk, o,
             update_of(update), InOut<float>(walk, w, true), Input<float>(walk, g),
             InOut<float>(walk, m, true), InOut<float>(walk, v, true),
             Output<Working>(walk, working));
    });
  });
}

// Instantiations: beside bf16 (which serves where there is no working copy) and f16; in packs of 16
// bytes of w and of one element.

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::adamw

namespace kinema::kernels {

const AdamW KERNELS_DEVICE(adamw) = {.step = device::adamw::step};

}  // namespace kinema::kernels
