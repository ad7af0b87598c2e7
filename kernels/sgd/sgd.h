#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/update.h"
#include "kernels/base/working_copy.h"
#include "kernels/sgd/sgd_options.h"

namespace kinema::kernels {

/// One step of stochastic gradient descent, in place, with PyTorch's order of things:
///   d = factor * g + weight_decay * w
///   v = d in step number 1, else momentum * v + (1 - dampening) * d
///   w = w - rate * (nesterov ? d + momentum * v : v)       (without momentum: w - rate * d)
///   update   f64 [4], kernels::Update: rate, factor and number; 0 for apply: nothing is written
///   w, g, v  any one shape and strides, one type; v is not given where momentum is 0
///   working  the new w in bf16 or f16, of any strides, for the next forward pass; or not given
/// Tails that w, v and working own are zeroed.
/// Source: Sutskever et al., ICML 2013, eqs. 1-4, in the form of torch.optim.SGD.
/// Errors: shapes or types differ; momentum without v; a momentum or decay below 0;
/// Nesterov's step without momentum or with dampening; a working copy of another type or shape.
struct Sgd {
  void (*step)(Stream, const SgdOptions&, View update, View w, View g, View v, View working);
};
extern const Sgd sgd_reference, sgd_cpu;
KERNELS_OPTIONAL extern const Sgd sgd_cuda, sgd_emulated;
inline constexpr Sgd sgd_meta = {ignored};

inline const Sgd& sgd(Backend b) {
  return select<Sgd>("sgd", b,
                     {.reference = &sgd_reference,
                      .cpu = &sgd_cpu,
                      .cuda = &sgd_cuda,
                      .emulated = &sgd_emulated,
                      .meta = &sgd_meta});
}

inline void check_sgd_options(const SgdOptions& o) {
  check(o.momentum >= 0, "sgd: momentum must not be negative, got ", o.momentum);
  check(o.weight_decay >= 0, "sgd: weight_decay must not be negative, got ", o.weight_decay);
  check(!o.nesterov || (o.momentum > 0 && o.dampening == 0),
        "sgd: nesterov needs momentum and no dampening, got momentum ", o.momentum,
        " and dampening ", o.dampening);
}

inline void check_sgd(const SgdOptions& o, const View& update, const View& w, const View& g,
                      const View& v, const View& working) {
  check_sgd_options(o);
  check_update("sgd", update);
  check_working_copy("sgd", w, working);
  check(g.shape == w.shape && g.dtype == w.dtype, "sgd: g must be ", w.dtype, " ", w.shape,
        ", got ", g.dtype, " ", g.shape);
  check(o.momentum == 0 || v, "sgd: momentum needs a velocity, got none");
  check(!v || (v.shape == w.shape && v.dtype == w.dtype), "sgd: v must be ", w.dtype, " ", w.shape,
        ", got ", v.dtype, " ", v.shape);
}

}  // namespace kinema::kernels
