#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"

namespace kinema::kernels {

void check_sigmoid_cross_entropy(const SigmoidCrossEntropyOptions& o, const View& logits,
                                 const View& targets, const View& loss, const View& dlogits) {
  constexpr const char* op = "sigmoid_cross_entropy";
  check(logits.shape.rank == 2, op, ": logits must be [N,K], got ", logits.shape);
  check(logits.size() > 0, op, ": expected at least one logit, got ", logits.shape);
  const auto same = [&](const View& v, const char* name) {
    check(v.shape == logits.shape && v.dtype == logits.dtype, op, ": ", name, " must be ",
          logits.dtype, " ", logits.shape, ", got ", v.dtype, " ", v.shape);
  };
  same(targets, "the targets");
  if (dlogits) same(dlogits, "the gradient");
  check(loss.shape == Shape{1} && loss.dtype == logits.dtype, op, ": the loss must be ",
        logits.dtype, " [1], got ", loss.dtype, " ", loss.shape);
  check(o.smoothing >= 0 && o.smoothing <= 1, op, ": smoothing must be in [0,1], got ",
        o.smoothing);
}

}  // namespace kinema::kernels
