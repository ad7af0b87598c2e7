#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/batch_norm/batch_norm_options.h"

namespace kinema::kernels {

/// All [C], f32 (f64 beside f64).
struct BatchNormParameters {
  View gamma, beta;
  View running_mean, running_var;  ///< read in inference, updated in training
};

/// What forward does to each value before it is stored; a View that is not given is left out.
struct BatchNormEpilogue {
  View residual{};  ///< shape and type of y; not y itself
  bool relu = false;
};

/// What forward leaves for the gradients: [C], f32 (f64 beside f64).
struct BatchNormSaved {
  View mean, rstd;
};

/// What a gradient pass reads. Under ReLU the sign of the output decides which dy pass: it is
/// computed again from x, with the same rounding, or read from y where that is given, as it must be
/// where a residual was added.
struct BatchNormKept {
  View x, gamma, beta, mean, rstd, y;
  bool relu = false;
};

/// A gradient to overwrite, or to add to; not wanted where the View is not given.
struct BatchNormTarget {
  View view;
  bool accumulate = false;
  explicit operator bool() const { return bool(view); }
};
struct BatchNormTargets {
  BatchNormTarget dx, dgamma, dbeta, dresidual;
};

/// Batch normalisation over all axes but the last:
///   y = relu(gamma[c] * (x - mean[c]) * rstd[c] + beta[c] + residual)
///   x, y  [...,C]   two axes or more, any strides; M rows of C channels; one floating-point type,
///                   also that of dy, dx and dresidual. All [C] are f32 (f64 beside f64).
/// training:  mean and var (of M values, divided by M) of this x; rstd = 1 / sqrt(var + eps);
///            running += momentum * (new - running), new being mean and var * M / (M - 1)
/// inference: mean = running_mean, rstd = 1 / sqrt(running_var + eps)
/// Gradients, g being dy where the ReLU let y pass, xhat = (x - mean) * rstd:
///   dresidual = g; dbeta = sum of g; dgamma = sum of g * xhat;
///   dx = gamma * rstd * (g - dbeta / M - xhat * dgamma / M) in training, else gamma * rstd * g
/// `statistics` gives mean and var [C] of x as training takes them.
/// What is read and written once: all that inference needs, forward and back; x for statistics.
/// Training depends on sums over all rows before its first output, so it goes through memory twice,
/// the second time from the last row to the first, from what the cache still holds:
///   train_forward  reads x twice, the residual once; writes y
///   train_grad     reads x, dy and, where given, y twice; writes dx, dresidual. Where dresidual is
///                  overwritten under a ReLU it is the masked dy, and read in place of dy and y the
///                  second time; without dx there is no second time.
/// Source: Ioffe and Szegedy, arXiv:1502.03167, algorithms 1 and 2; running statistics and their
/// unbiased variance as PyTorch's BatchNorm3d.
/// Errors: fewer than two axes; shapes or types that do not fit; training with M below 2; eps below
/// 0; momentum outside of [0, 1]; the gradient of a residual under ReLU without y.
struct BatchNorm {
  void (*statistics)(Stream, View x, View mean, View var);
  void (*train_forward)(Stream, const BatchNormOptions&, View x, const BatchNormParameters&,
                        const BatchNormEpilogue&, View y, const BatchNormSaved&);
  void (*infer_forward)(Stream, const BatchNormOptions&, View x, const BatchNormParameters&,
                        const BatchNormEpilogue&, View y, const BatchNormSaved&);
  void (*train_grad)(Stream, const BatchNormKept&, View dy, const BatchNormTargets&);
  void (*infer_grad)(Stream, const BatchNormKept&, View dy, const BatchNormTargets&);
};
extern const BatchNorm batch_norm_reference, batch_norm_cpu;
KERNELS_OPTIONAL extern const BatchNorm batch_norm_cuda, batch_norm_cudnn, batch_norm_emulated;
inline constexpr BatchNorm batch_norm_meta = {ignored, ignored, ignored, ignored, ignored};

inline const BatchNorm& batch_norm(Backend b) {
  return select<BatchNorm>("batch_norm", b,
                           {.reference = &batch_norm_reference,
                            .cpu = &batch_norm_cpu,
                            .cuda = &batch_norm_cuda,
                            .cudnn = &batch_norm_cudnn,
                            .emulated = &batch_norm_emulated,
                            .meta = &batch_norm_meta});
}

/// Throw Error unless all that a pass is given fits together in shape and type.
void check_batch_norm(const BatchNormOptions&, const View& x, const BatchNormParameters&,
                      const BatchNormEpilogue&, const View& y, bool training);
void check_batch_norm_grad(const BatchNormKept&, const View& dy, const BatchNormTargets&,
                           bool training);
void check_batch_norm_statistics(const View& x, const View& mean, const View& var);

}  // namespace kinema::kernels
