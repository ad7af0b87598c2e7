#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"

namespace kinema::kernels {

void check_sigmoid_cross_entropy(const SigmoidCrossEntropyOptions& o, const View& logits,
                                 const View& targets, const View& loss, const View& dlogits) {
  constexpr const char* op = "sigmoid_cross_entropy";
  check(logits.shape.rank == 2, op, ": logits must be [N,K], got ", logits.shape);
  check(logits.size() > 0, op, ": expected at least one logit, got ", logits.shape);
  const auto fits = [&](const View& v, const char* name, Dtype dtype, const Shape& shape) {
    check(v.shape == shape && v.dtype == dtype, op, ": ", name, " must be ", dtype, " ", shape,
          ", got ", v.dtype, " ", v.shape);
  };
  const Dtype wide = wide_of(logits.dtype);
  fits(targets, "the targets", wide, logits.shape);
  if (dlogits) fits(dlogits, "the gradient", logits.dtype, logits.shape);
  fits(loss, "the loss", wide, {1});
  check(o.smoothing >= 0 && o.smoothing <= 1, op, ": smoothing must be in [0,1], got ",
        o.smoothing);
}

}  // namespace kinema::kernels
