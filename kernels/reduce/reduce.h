#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/number.h"
#include "kernels/base/view.h"
#include "kernels/reduce/reduce_options.h"

namespace kinema::kernels {

/// Sums over chosen axes: y[kept] = scale * sum over the other axes of x[kept, others].
///   x  any rank and strides
///   y  shape of x with size 1 where axes[a] is true; of x's type, or f32 beside bf16 and f16
/// broadcast is the gradient: dx[kept, others] = scale * dy[kept].
/// squared_norm is the sum of x[i]^2 over all elements, f64 [1].
/// Sums run in double, in an order that only the shape decides. `accumulate` adds to what y or dx
/// hold; rounded once.
/// Traffic: each pass reads its inputs once and writes its outputs once. Where few sums have many
/// terms, a device sums in two steps and moves up to 1/32 of x beside it; broadcast reads a dy once
/// for up to 16 elements of dx, all but the first time from a cache.
/// Errors: shapes or types that do not fit. Axes of size 0 are no error: the sum over nothing is 0.
struct Reduce {
  void (*forward)(Stream, const ReduceOptions&, View x, View y, bool accumulate);
  void (*broadcast)(Stream, const ReduceOptions&, View dy, View dx, bool accumulate);
  void (*squared_norm)(Stream, View x, View y, bool accumulate);
};
extern const Reduce reduce_reference, reduce_cpu;
KERNELS_OPTIONAL extern const Reduce reduce_cuda, reduce_emulated;
inline constexpr Reduce reduce_meta = {ignored, ignored, ignored};

inline const Reduce& reduce(Backend b) {
  return select<Reduce>("reduce", b,
                        {.reference = &reduce_reference,
                         .cpu = &reduce_cpu,
                         .cuda = &reduce_cuda,
                         .emulated = &reduce_emulated,
                         .meta = &reduce_meta});
}

/// x with size 1 along each reduced axis; refuses an axis that x has not.
inline Shape reduce_output(const ReduceOptions& o, const Shape& x) {
  Shape y = x;
  for (int a = 0; a < max_rank; ++a) {
    if (!o.axes[size_t(a)]) continue;
    check(a < x.rank, "reduce: axes must be below ", x.rank, ", got ", a, " for x ", x);
    y[a] = 1;
  }
  return y;
}

/// `x` is the wide side (x or dx), `y` the narrow one (y or dy).
inline void check_reduce(const ReduceOptions& o, const View& x, const View& y) {
  const Shape expected = reduce_output(o, x.shape);
  check(y.shape == expected, "reduce: y must be ", expected, " for x ", x.shape, ", got ", y.shape);
  check(y.dtype == x.dtype || y.dtype == wide_of(x.dtype),
        "reduce: x and y must have one type, got ", x.dtype, " and ", y.dtype);
}

}  // namespace kinema::kernels
