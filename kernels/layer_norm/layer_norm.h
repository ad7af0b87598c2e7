#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/layer_norm/layer_norm_options.h"

namespace kinema::kernels {

/// [C], f32 (f64 beside f64). Not given: gamma is 1, beta is 0.
struct LayerNormParameters {
  View gamma{}, beta{};
};

/// What forward leaves for the gradients: [M], f32 (f64 beside f64), M being the number of rows.
struct LayerNormSaved {
  View mean, rstd;
};

/// What the gradient reads.
struct LayerNormKept {
  View x, gamma, mean, rstd;
};

/// A gradient to overwrite, or to add to; not wanted where the View is not given.
struct LayerNormTarget {
  View view{};
  bool accumulate = false;
  explicit operator bool() const { return bool(view); }
};
struct LayerNormTargets {
  LayerNormTarget dx{}, dgamma{}, dbeta{};
};

/// Layer normalisation of each row, that is over the last axis:
///   y[m,c] = gamma[c] * (x[m,c] - mean[m]) * rstd[m] + beta[c]
///   mean[m] = 1/C * sum over c of x[m,c];  var[m] = 1/C * sum of (x[m,c] - mean[m])^2
///   rstd[m] = 1 / sqrt(var[m] + eps)
///   x, y  [...,C]   one axis or more, any strides; M rows of C channels; one floating-point type,
///                   also that of dy and dx
/// forward computes y from mean and rstd before they are rounded into `saved`: a mean of 1e4 beside
/// a variance of 1 costs y no accuracy.
/// grad, from the rounded mean and rstd, with xhat = (x - mean) * rstd and g = gamma * dy:
///   dx = rstd * (g - 1/C * sum over c of g - xhat * 1/C * sum over c of g * xhat)
///   dgamma[c] = sum over m of dy * xhat;  dbeta[c] = sum over m of dy
/// Device code holds a row in registers: up to 8192 channels in forward and 4096 in grad, or 2048
/// where rows do not begin and end on 16 bytes. Longer ones are read three times in forward, twice
/// in grad. dgamma and dbeta come from one partial sum a block, 16 bytes of traffic each.
/// An x without channels has mean 0 and variance 0.
/// Source: Ba, Kiros and Hinton, arXiv:1607.06450, as PyTorch's LayerNorm has it.
/// Errors: no axis; shapes or types that do not fit; eps below 0.
struct LayerNorm {
  void (*forward)(Stream, const LayerNormOptions&, View x, const LayerNormParameters&, View y,
                  const LayerNormSaved&);
  void (*grad)(Stream, const LayerNormKept&, View dy, const LayerNormTargets&);
};
extern const LayerNorm layer_norm_reference, layer_norm_cpu;
KERNELS_OPTIONAL extern const LayerNorm layer_norm_cuda, layer_norm_emulated;
inline constexpr LayerNorm layer_norm_meta = {ignored, ignored};

inline const LayerNorm& layer_norm(Backend b) {
  return select<LayerNorm>("layer_norm", b,
                           {.reference = &layer_norm_reference,
                            .cpu = &layer_norm_cpu,
                            .cuda = &layer_norm_cuda,
                            .emulated = &layer_norm_emulated,
                            .meta = &layer_norm_meta});
}

/// The number of rows of x, as mean and rstd have it.
int64_t layer_norm_rows(const View& x);

/// Throw Error unless all that a pass is given fits together in shape and type.
void check_layer_norm(const LayerNormOptions&, const View& x, const LayerNormParameters&,
                      const View& y, const LayerNormSaved&);
void check_layer_norm_grad(const LayerNormKept&, const View& dy, const LayerNormTargets&);

}  // namespace kinema::kernels
