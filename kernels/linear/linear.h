#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/linear/linear_options.h"

namespace kinema::kernels {

/// What forward does to each sum before it is stored: y = relu(sum + bias[k]). A View that is not
/// given is left out.
struct LinearEpilogue {
  View bias;  ///< [out], f32 (f64 beside f64)
  bool relu = false;
};

/// Fully connected layer: y[r,k] = epilogue( sum over i of x[r,i] * w[k,i] )
///   x [rows,in], w [out,in], y [rows,out]   any pitch; rows do not overlap; one floating-point
///   type
///                                           for all; stored values are rounded once
/// Gradients, dy being that of the bare sum: dx = dy w; dw = dy^T x; db[k] = sum over r of dy[r,k];
/// dx of dy's type, dw and db f32 (f64 beside f64)
/// `accumulate` adds to what dx, dw, db hold; else they are overwritten, tails included. f32 is
/// TF32 only if asked for, and nowhere on the CPU.
/// Errors: shapes or types that do not fit. Axes of size 0 are no error: the sum over nothing is 0.
struct Linear {
  void (*forward)(Stream, const LinearOptions&, View x, View w, View y, const LinearEpilogue&);
  void (*grad_input)(Stream, const LinearOptions&, View dy, View w, View dx, bool accumulate);
  void (*grad_weight)(Stream, const LinearOptions&, View x, View dy, View dw, bool accumulate);
  void (*grad_bias)(Stream, View dy, View db, bool accumulate);
};
extern const Linear linear_reference, linear_cpu;
KERNELS_OPTIONAL extern const Linear linear_cuda, linear_emulated, linear_cudnn;
inline constexpr Linear linear_meta = {ignored, ignored, ignored, ignored};

inline const Linear& linear(Backend b) {
  return select<Linear>("linear", b,
                        {.reference = &linear_reference,
                         .cpu = &linear_cpu,
                         .cuda = &linear_cuda,
                         .cudnn = &linear_cudnn,
                         .emulated = &linear_emulated,
                         .meta = &linear_meta});
}

/// Shape of y; throws Error where x and w do not fit together.
inline Shape linear_output(const Shape& x, const Shape& w) {
  check(x.rank == 2, "linear: x must be [rows,in], got ", x);
  check(w.rank == 2, "linear: w must be [out,in], got ", w);
  check(x[1] == w[1], "linear: w must take ", x[1], " inputs, got w ", w, " for x ", x);
  return {x[0], w[0]};
}

/// Throws Error unless x (or dx), w, y (or dy) and the epilogue fit together.
inline void check_linear(const View& x, const View& w, const View& y,
                         const LinearEpilogue& e = {}) {
  const Shape expected = linear_output(x.shape, w.shape), bias{expected[1]};
  check(y.shape == expected, "linear: y must be ", expected, ", got ", y.shape);
  check(x.dtype == w.dtype && x.dtype == y.dtype, "linear: x, w and y must have one type, got ",
        x.dtype, ", ", w.dtype, " and ", y.dtype);
  check(!e.bias || (e.bias.shape == bias && e.bias.dtype == wide_of(y.dtype)),
        "linear: the bias must be ", wide_of(y.dtype), " ", bias, ", got ", e.bias.dtype, " ",
        e.bias.shape);
}

/// Throws Error unless dw takes the products of x and dy.
inline void check_linear_weight(const View& x, const View& dy, const View& dw) {
  check(dw.dtype == wide_of(x.dtype), "linear: dw must be ", wide_of(x.dtype), " beside ", x.dtype,
        ", got ", dw.dtype);
  View w = dw;
  w.dtype = x.dtype;
  check_linear(x, w, dy);
}

inline void check_linear_bias(const View& dy, const View& db) {
  check(dy.shape.rank == 2, "linear: dy must be [rows,out], got ", dy.shape);
  check(db.shape == Shape{dy.shape[1]} && db.dtype == wide_of(dy.dtype), "linear: db must be ",
        wide_of(dy.dtype), " ", Shape{dy.shape[1]}, ", got ", db.dtype, " ", db.shape);
}

}  // namespace kinema::kernels
