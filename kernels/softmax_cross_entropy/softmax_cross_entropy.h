#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy_options.h"

namespace kinema::kernels {

/// Softmax and the mean cross entropy with integer labels, in nats:
///   p[n,k] = e^x[n,k] / sum over j of e^x[n,j]
///   q[n,k] = (1 - smoothing) * (k == labels[n]) + smoothing / K
///   loss[0] = 1/N * sum over n,k of -q[n,k] * log p[n,k]
///   logits x [N,K]   any pitch       labels [N]  i64, in [0,K)
///   loss [1]                         probabilities [N,K]  p, or not given
/// loss and p are f32 beside f32, bf16 and f16, f64 beside f64.
/// grad, from p:  dlogits = (p - q) / N * dloss[0], added to what dlogits holds with `accumulate`.
/// forward_grad:  loss and dlogits at once, for a dloss that is known beforehand: neither p nor a
/// second reading of the logits goes through memory.
/// softmax alone takes x and p of any rank, over the last axis.
/// The largest logit of each row is subtracted first, so that no exponential overflows.
/// Device code holds a row in registers: up to 4096 classes, or 2048 where rows do not begin and
/// end on 16 bytes; longer ones are read twice where p or dlogits are wanted.
/// Source: Szegedy et al., arXiv:1512.00567, section 7 (smoothing), as PyTorch has it.
/// Errors: shapes or types that do not fit; N = 0 (a mean over nothing); a label outside of [0,K),
/// named with its row; smoothing outside of [0,1]. Device code sees labels when the caller has gone
/// on: one that is no class makes the loss NaN, and its row of dlogits.
struct SoftmaxCrossEntropy {
  void (*forward)(Stream, const SoftmaxCrossEntropyOptions&, View logits, View labels, View loss,
                  View probabilities);
  void (*grad)(Stream, const SoftmaxCrossEntropyOptions&, View probabilities, View labels,
               View dloss, View dlogits, bool accumulate);
  void (*forward_grad)(Stream, const SoftmaxCrossEntropyOptions&, View logits, View labels,
                       View dloss, View loss, View dlogits, bool accumulate);
  void (*softmax)(Stream, View x, View p);
};
extern const SoftmaxCrossEntropy softmax_cross_entropy_reference, softmax_cross_entropy_cpu;
KERNELS_OPTIONAL extern const SoftmaxCrossEntropy softmax_cross_entropy_cuda,
    softmax_cross_entropy_emulated, softmax_cross_entropy_cudnn;
inline constexpr SoftmaxCrossEntropy softmax_cross_entropy_meta = {ignored, ignored, ignored,
                                                                   ignored};

inline const SoftmaxCrossEntropy& softmax_cross_entropy(Backend b) {
  return select<SoftmaxCrossEntropy>("softmax_cross_entropy", b,
                                     {.reference = &softmax_cross_entropy_reference,
                                      .cpu = &softmax_cross_entropy_cpu,
                                      .cuda = &softmax_cross_entropy_cuda,
                                      .cudnn = &softmax_cross_entropy_cudnn,
                                      .emulated = &softmax_cross_entropy_emulated,
                                      .meta = &softmax_cross_entropy_meta});
}

/// Throw Error unless all fit together; `logits` may be dlogits. They read no memory.
void check_softmax_cross_entropy(const SoftmaxCrossEntropyOptions&, const View& logits,
                                 const View& labels, const View& loss, const View& p = {});
void check_softmax_cross_entropy_grad(const SoftmaxCrossEntropyOptions&, const View& logits,
                                      const View& labels, const View& dloss, const View& loss,
                                      const View& dlogits);
/// Throws Error where a label is no class: what the passes that have memory check first.
void check_labels(const View& labels, int64_t classes);
/// Throws Error unless p takes the softmax of x.
void check_softmax(const View& x, const View& p);

}  // namespace kinema::kernels
