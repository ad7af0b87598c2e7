#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/number.h"
#include "kernels/base/view.h"
#include "kernels/pointwise/pointwise_options.h"

namespace kinema::kernels {

/// One element at a time; all views of one shape (any rank, any strides) and one floating-point
/// type; computed in f32 or wider, rounded once.
///   forward   y = f(x), f one of max(x, 0) (NaN stays NaN), 1 / (1 + e^-x), tanh(x)
///   grad      dx = dy * f'(x), from y: dy where y > 0; dy * y * (1 - y); dy * (1 - y^2)
///   add       y = a + b
///   multiply  y = a * b
///   scale     y = factor * x; y may be x
///   dropout   y[i] = keep(i) ? x[i] / (1 - p) : 0; element i, counted row-major, is kept if word
///             i % 4 of philox(i / 4, seed, stream_of_draw(call, step, place)) says so: equal draws
///             give equal masks, so the gradient is dropout of dy and no mask is stored.
///             step is i64 [1]. p = 1 keeps none.
///             Source: Srivastava et al., JMLR 15 (2014); scaled in training, as is usual now.
/// `accumulate` adds to what y or dx hold.
/// Errors: shapes or types that differ; p outside of [0,1]. Axes of size 0 are no error.
struct Pointwise {
  void (*forward)(Stream, Unary, View x, View y);
  void (*grad)(Stream, Unary, View y, View dy, View dx, bool accumulate);
  void (*add)(Stream, View a, View b, View y);
  void (*multiply)(Stream, View a, View b, View y, bool accumulate);
  void (*scale)(Stream, double factor, View x, View y);
  void (*dropout)(Stream, const DropoutOptions&, View step, View x, View y, bool accumulate);
};
extern const Pointwise pointwise_reference, pointwise_cpu;
KERNELS_OPTIONAL extern const Pointwise pointwise_cuda, pointwise_emulated;
inline constexpr Pointwise pointwise_meta = {ignored, ignored, ignored, ignored, ignored, ignored};

inline const Pointwise& pointwise(Backend b) {
  return select<Pointwise>("pointwise", b,
                           {.reference = &pointwise_reference,
                            .cpu = &pointwise_cpu,
                            .cuda = &pointwise_cuda,
                            .emulated = &pointwise_emulated,
                            .meta = &pointwise_meta});
}

/// `op` names the caller's function: "relu", "add", ...
inline void check_pointwise(const char* op, const View& a, const View& b) {
  check(a.shape == b.shape, op, ": shapes must agree, got ", a.shape, " and ", b.shape);
  check(a.dtype == b.dtype, op, ": types must agree, got ", a.dtype, " and ", b.dtype);
}
inline void check_dropout(const DropoutOptions& o) {
  check(o.p >= 0 && o.p <= 1, "dropout: p must be in [0,1], got ", o.p);
}
inline void check_dropout(const DropoutOptions& o, const View& step, const View& x, const View& y) {
  check_dropout(o);
  check_number("dropout", "step", step, Dtype::i64);
  check_pointwise("dropout", x, y);
}

constexpr const char* name_of(Unary u) {
  constexpr const char* names[] = {"relu", "sigmoid", "tanh"};
  return names[int(u)];
}

}  // namespace kinema::kernels
