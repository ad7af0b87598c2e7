#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/local_response_norm/local_response_norm_options.h"

namespace kinema::kernels {

/// Each channel divided by the activity of its neighbours in the same pixel:
///   s[c] = k + alpha * sum of x[j]^2 over channels j with |j - c| <= (n - 1) / 2
///   y[c] = x[c] * s[c]^-beta
///   x, y, dy, dx  one shape [...,C] of any rank, one floating-point type; any strides; computed in
///                 f32 or wider, rounded once; channels past the ends of a row count as 0
/// grad recomputes s, so that nothing but x is kept:
///   dx[c] = dy[c] * s[c]^-beta - 2 alpha beta x[c] * sum over the same j of dy[j] x[j]
///   s[j]^-(beta+1)
/// added to what dx holds with `accumulate`. Each input is read once. On a GPU rows of more than
/// 256 packs of 16 bytes (elements, where rows do not lie on such) are cut into tiles, which read
/// again what windows reach across a cut: for n = 5 less than 2 %.
/// Source: Krizhevsky et al., NIPS 2012, section 3.3. alpha weights the SUM of squares, as there,
/// in cuda-convnet and in TensorFlow's tf.nn.lrn (n = 2 depth_radius + 1). Caffe, PyTorch and
/// oneDNN weight the mean over n: their alpha is n times ours, all else is equal (an alpha of 1e-4
/// there is 2e-5 here for n = 5). Errors: shapes or types that differ; n even or below 1; k not
/// above 0; alpha or beta below 0; on a GPU n above 127 where there are more than 256 channels.
/// Axes of size 0 are no error.
struct LocalResponseNorm {
  void (*forward)(Stream, const LocalResponseNormOptions&, View x, View y);
  void (*grad)(Stream, const LocalResponseNormOptions&, View x, View dy, View dx, bool accumulate);
};
extern const LocalResponseNorm local_response_norm_reference, local_response_norm_cpu;
KERNELS_OPTIONAL extern const LocalResponseNorm local_response_norm_cuda,
    local_response_norm_emulated, local_response_norm_cudnn;
inline constexpr LocalResponseNorm local_response_norm_meta = {ignored, ignored};

inline const LocalResponseNorm& local_response_norm(Backend b) {
  return select<LocalResponseNorm>("local_response_norm", b,
                                   {.reference = &local_response_norm_reference,
                                    .cpu = &local_response_norm_cpu,
                                    .cuda = &local_response_norm_cuda,
                                    .cudnn = &local_response_norm_cudnn,
                                    .emulated = &local_response_norm_emulated,
                                    .meta = &local_response_norm_meta});
}

/// Throws Error unless the options make sense and `other` (y, dy or dx) is like x.
inline void check_local_response_norm(const LocalResponseNormOptions& o, const View& x,
                                      const View& other) {
  constexpr const char* op = "local_response_norm";
  check(x.shape.rank >= 1 && x.shape == other.shape, op, ": shapes must agree, got ", x.shape,
        " and ", other.shape);
  check(x.dtype == other.dtype, op, ": types must agree, got ", x.dtype, " and ", other.dtype);
  check(o.n >= 1 && o.n % 2 == 1, op, ": n must be odd, got ", o.n);
  check(o.k > 0, op, ": k must be above 0, got ", o.k);
  check(o.alpha >= 0 && o.beta >= 0, op, ": alpha and beta must not be negative, got ", o.alpha,
        " and ", o.beta);
}

}  // namespace kinema::kernels
