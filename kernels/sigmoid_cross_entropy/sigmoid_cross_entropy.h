#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_options.h"

namespace kinema::kernels {

/// The mean binary cross entropy of logits with targets of their own each, in nats:
///   q[n,k] = (1 - smoothing) * t[n,k] + smoothing / 2
///   loss[0] = 1/(N K) * sum over n,k of max(x,0) - x * q + log(1 + e^-|x|)
/// which is -q log s - (1 - q) log(1 - s) with s = 1 / (1 + e^-x), without overflow.
///   logits x [N,K]  any pitch        targets t [N,K]  in [0,1]       loss [1]
/// targets and loss are f32 beside f32, bf16 and f16, f64 beside f64.
/// grad:  dlogits = (s - q) / (N K) * dloss[0], added to what dlogits holds with `accumulate`.
/// forward_grad:  loss and dlogits at once, for a dloss that is known beforehand: logits and
/// targets are read once. Source: PyTorch, binary_cross_entropy_with_logits. Errors: shapes or
/// types that do not fit; N or K = 0 (a mean over nothing); smoothing outside of [0,1]. Targets
/// outside of [0,1] are no error.
struct SigmoidCrossEntropy {
  void (*forward)(Stream, const SigmoidCrossEntropyOptions&, View logits, View targets, View loss);
  void (*grad)(Stream, const SigmoidCrossEntropyOptions&, View logits, View targets, View dloss,
               View dlogits, bool accumulate);
  void (*forward_grad)(Stream, const SigmoidCrossEntropyOptions&, View logits, View targets,
                       View dloss, View loss, View dlogits, bool accumulate);
};
extern const SigmoidCrossEntropy sigmoid_cross_entropy_reference, sigmoid_cross_entropy_cpu;
KERNELS_OPTIONAL extern const SigmoidCrossEntropy sigmoid_cross_entropy_cuda,
    sigmoid_cross_entropy_emulated;
inline constexpr SigmoidCrossEntropy sigmoid_cross_entropy_meta = {ignored, ignored, ignored};

inline const SigmoidCrossEntropy& sigmoid_cross_entropy(Backend b) {
  return select<SigmoidCrossEntropy>("sigmoid_cross_entropy", b,
                                     {.reference = &sigmoid_cross_entropy_reference,
                                      .cpu = &sigmoid_cross_entropy_cpu,
                                      .cuda = &sigmoid_cross_entropy_cuda,
                                      .emulated = &sigmoid_cross_entropy_emulated,
                                      .meta = &sigmoid_cross_entropy_meta});
}

/// Throws Error unless all fit together; `loss` may be dloss. Reads no memory.
void check_sigmoid_cross_entropy(const SigmoidCrossEntropyOptions&, const View& logits,
                                 const View& targets, const View& loss, const View& dlogits = {});

}  // namespace kinema::kernels
