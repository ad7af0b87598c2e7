#pragma once
#include "kernels/adamw/adamw_options.h"
#include "kernels/base/backend.h"
#include "kernels/base/update.h"
#include "kernels/base/working_copy.h"

namespace kinema::kernels {

/// Step number t of Adam with decoupled weight decay, in place, g' = factor * g:
///   w = w - rate * weight_decay * w
///   m = beta1 * m + (1 - beta1) * g'
///   v = beta2 * v + (1 - beta2) * g' * g'
///   w = w - rate * m' / (sqrt(v') + eps),  m' = m / (1 - beta1^t),  v' = v / (1 - beta2^t)
///   update      f64 [4], kernels::Update: rate, factor and t; 0 for apply: nothing is written
///   w, g, m, v  any one shape, any strides, one type; m and v are 0 before the first step
///   working     the new w in bf16 or f16, of any strides, for the next forward pass; or not given
/// Tails that w, m, v and working own are zeroed.
/// Source: Loshchilov and Hutter, arXiv:1711.05101, algorithm 2, in the form of torch.optim.AdamW
/// (the decay is multiplied by the rate); Kingma and Ba, arXiv:1412.6980, algorithm 1.
/// Errors: shapes or types differ; an eps or decay below 0; a beta outside of [0, 1); a working
/// copy of another type or shape.
struct AdamW {
  void (*step)(Stream, const AdamWOptions&, View update, View w, View g, View m, View v,
               View working);
};
extern const AdamW adamw_reference, adamw_cpu;
KERNELS_OPTIONAL extern const AdamW adamw_cuda, adamw_emulated;
inline constexpr AdamW adamw_meta = {ignored};

inline const AdamW& adamw(Backend b) {
  return select<AdamW>("adamw", b,
                       {.reference = &adamw_reference,
                        .cpu = &adamw_cpu,
                        .cuda = &adamw_cuda,
                        .emulated = &adamw_emulated,
                        .meta = &adamw_meta});
}

inline void check_adamw_options(const AdamWOptions& o) {
  check(o.beta1 >= 0 && o.beta1 < 1, "adamw: beta1 must lie in [0, 1), got ", o.beta1);
  check(o.beta2 >= 0 && o.beta2 < 1, "adamw: beta2 must lie in [0, 1), got ", o.beta2);
  check(o.eps >= 0, "adamw: eps must not be negative, got ", o.eps);
  check(o.weight_decay >= 0, "adamw: weight_decay must not be negative, got ", o.weight_decay);
}

inline void check_adamw(const AdamWOptions& o, const View& update, const View& w, const View& g,
                        const View& m, const View& v, const View& working) {
  check_adamw_options(o);
  check_working_copy("adamw", w, working);
  check_update("adamw", update);
  const auto like_w = [&](const char* name, const View& a) {
    check(a.shape == w.shape && a.dtype == w.dtype, "adamw: ", name, " must be ", w.dtype, " ",
          w.shape, ", got ", a.dtype, " ", a.shape);
  };
  like_w("g", g);
  like_w("m", m);
  like_w("v", v);
}

}  // namespace kinema::kernels
