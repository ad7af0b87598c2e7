#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/number.h"
#include "kernels/base/view.h"

namespace kinema::kernels {

/// y += t * (x - y), element by element, in place: y moves towards x by the share t. Running
/// averages and mixtures are this; so is what happens or not as a number on the device says: a
/// share of 0 leaves y and one of 1 gives x, whatever the other holds, NaN too.
///   t     f64 [1], in [0, 1]
///   x, y  any one shape, any strides, one floating-point type; x does not overlap y
/// The tail that y owns is zeroed.
/// Errors: shapes or types differ; t is something else.
struct Lerp {
  void (*towards)(Stream, View t, View x, View y);
};
extern const Lerp lerp_reference, lerp_cpu;
KERNELS_OPTIONAL extern const Lerp lerp_cuda, lerp_emulated;
inline constexpr Lerp lerp_meta = {ignored};

inline const Lerp& lerp(Backend b) {
  return select<Lerp>("lerp", b,
                      {.reference = &lerp_reference,
                       .cpu = &lerp_cpu,
                       .cuda = &lerp_cuda,
                       .emulated = &lerp_emulated,
                       .meta = &lerp_meta});
}

inline void check_lerp(const View& t, const View& x, const View& y) {
  check_number("lerp", "the share", t, Dtype::f64);
  check(x.shape == y.shape && x.dtype == y.dtype, "lerp: x must be ", y.dtype, " ", y.shape,
        ", got ", x.dtype, " ", x.shape);
}

}  // namespace kinema::kernels
