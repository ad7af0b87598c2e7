#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"

namespace kinema::kernels {

/// Strided copies: y[i] = x[i], or y[i] += x[i] with `accumulate`; fill sets every y[i] to value.
///   x, y  one shape of any rank; any strides, the last 1; types may differ (a cast: to the nearest
///         value of y's type, integers by truncation); with `accumulate` they must be one, or f32
///         is added to bf16 or f16: in f32, rounded once
/// Tails that y owns are zeroed. x and y do not overlap.
/// Errors: shapes differ; types differ with `accumulate`. An axis of size 0 is no error.
struct Copy {
  void (*forward)(Stream, View x, View y, bool accumulate);
  void (*fill)(Stream, View y, double value);
};
extern const Copy copy_reference, copy_cpu;
KERNELS_OPTIONAL extern const Copy copy_cuda, copy_emulated;
inline constexpr Copy copy_meta = {ignored, ignored};

inline const Copy& copy(Backend b) {
  return select<Copy>("copy", b,
                      {.reference = &copy_reference,
                       .cpu = &copy_cpu,
                       .cuda = &copy_cuda,
                       .emulated = &copy_emulated,
                       .meta = &copy_meta});
}

inline void check_copy(const View& x, const View& y, bool accumulate) {
  check(x.shape == y.shape, "copy: y must be ", x.shape, ", got ", y.shape);
  const bool rounded = x.dtype == Dtype::f32 && is_narrow(y.dtype);
  check(!accumulate || x.dtype == y.dtype || rounded,
        "copy: to accumulate, x and y must have one type, got ", x.dtype, " and ", y.dtype);
}

}  // namespace kinema::kernels
