#include "kernels/device/block_value.h"
#include "kernels/device/map.h"
#include "kernels/sgd/sgd.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::sgd {

constexpr int lanes_at_once = pack_lanes<float>, rounds = 2;

struct Factors {
  float rate, factor, momentum, fresh, decay;  ///< fresh: what the velocity takes of the gradient
  bool apply, first, nesterov;

  /// The new w from w, its gradient and, with momentum, its velocity, which moves on.
  KERNELS_INLINE float step(float w, float g, float& v) const {
    const float d = factor * g + decay * w;
    if (momentum == 0) return w - rate * d;
    v = first ? d : momentum * v + fresh * d;
    return w - rate * (nesterov ? d + momentum * v : v);
  }
};

KERNELS_INLINE Factors factors_of(const SgdOptions& o, const Update& u) {
  return {.rate = float(u.rate),
          .factor = float(u.factor),
          .momentum = float(o.momentum),
          .fresh = float(1 - o.dampening),
          .decay = float(o.weight_decay),
          .apply = u.apply != 0,
          .first = u.number == 1,
          .nesterov = o.nesterov};
}

/// All parameters in one pass, as they lie in one arena: reads w, g and v once, writes w, v and the
/// working copy once. A velocity or a copy that is not given is left out.
template <class Working, int N>
__global__ void __launch_bounds__(map_threads)
    step_kernel(Walk walk, SgdOptions options, const Update* update, InOut<float> w, Input<float> g,
                InOut<float> v, Output<Working> working) {
  const Factors factors = block_value<Factors>([&] { return factors_of(options, *update); });
  if (!factors.apply) return;
  map<N, rounds>(
      walk,
      [factors](int64_t, auto& weight, const auto& gradient, auto& velocity, auto& narrow) {
#pragma unroll
        for (int k = 0; k < weight.size; ++k) {
          weight.lane[k] = factors.step(weight.lane[k], gradient.lane[k], velocity.lane[k]);
          narrow.lane[k] = from_float<Working>(weight.lane[k]);
        }
      },
      w, g, v, working);
}

void step(Stream stream, const SgdOptions& o, View update, View w, View g, View v, View working) {
  check_sgd(o, update, w, g, v, working);
  check(w.dtype == Dtype::f32, "sgd: expected f32 weights, got ", w.dtype);
  if (!w.size()) return;
  const View velocity = o.momentum > 0 ? v : View{};
  dispatch_narrow(working, [&]<class Working>(Working) {
    walk_packs<lanes_at_once>({w, g, velocity, working}, [&](const Walk& walk, auto lanes) {
      launch("sgd.step", step_kernel<Working, lanes()>, walk.geometry(rounds), stream, walk, o,
             update_of(update), InOut<float>(walk, w, true), Input<float>(walk, g),
             InOut<float>(walk, velocity, true), Output<Working>(walk, working));
    });
  });
}

// Instantiations: beside bf16 (which serves where there is no working copy) and f16; in packs of 16
// bytes of w and of one element.

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::sgd

namespace kinema::kernels {

const Sgd KERNELS_DEVICE(sgd) = {.step = device::sgd::step};

}  // namespace kinema::kernels
