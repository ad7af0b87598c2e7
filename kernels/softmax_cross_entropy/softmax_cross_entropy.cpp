#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace kinema::kernels {

void check_softmax_cross_entropy(const SoftmaxCrossEntropyOptions& o, const View& logits,
                                 const View& labels, const View& loss, const View& p) {
  constexpr const char* op = "softmax_cross_entropy";
  const Dtype wide = wide_of(logits.dtype);
  check(logits.shape.rank == 2, op, ": logits must be [N,K], got ", logits.shape);
  check(logits.shape[0] > 0, op, ": expected at least one row, got logits ", logits.shape);
  check(labels.shape == Shape{logits.shape[0]} && labels.dtype == Dtype::i64, op,
        ": labels must be i64 ", Shape{logits.shape[0]}, ", got ", labels.dtype, " ", labels.shape);
  check(loss.shape == Shape{1} && loss.dtype == wide, op, ": the loss must be ", wide, " [1], got ",
        loss.dtype, " ", loss.shape);
  check(!p || (p.shape == logits.shape && p.dtype == wide), op, ": the probabilities must be ",
        wide, " ", logits.shape, ", got ", p.dtype, " ", p.shape);
  check(o.smoothing >= 0 && o.smoothing <= 1, op, ": smoothing must be in [0,1], got ",
        o.smoothing);
}

void check_softmax_cross_entropy_grad(const SoftmaxCrossEntropyOptions& o, const View& logits,
                                      const View& labels, const View& dloss, const View& loss,
                                      const View& dlogits) {
  check_softmax_cross_entropy(o, logits, labels, loss);
  check_softmax_cross_entropy(o, dlogits, labels, dloss);
  check(dlogits.shape == logits.shape && dlogits.dtype == logits.dtype,
        "softmax_cross_entropy: dlogits must be ", logits.dtype, " ", logits.shape, ", got ",
        dlogits.dtype, " ", dlogits.shape);
}

void check_labels(const View& labels, int64_t classes) {
  for (int64_t n = 0; n < labels.shape[0]; ++n) {
    const int64_t label = data<const int64_t>(labels)[n];
    check(label >= 0 && label < classes, "softmax_cross_entropy: labels must be in [0,", classes,
          "), got ", label, " in row ", n);
  }
}

void check_softmax(const View& x, const View& p) {
  check(x.shape.rank >= 1 && p.shape == x.shape, "softmax: p must be ", x.shape, ", got ", p.shape);
  check(p.dtype == wide_of(x.dtype), "softmax: p must be ", wide_of(x.dtype), " beside ", x.dtype,
        ", got ", p.dtype);
}

}  // namespace kinema::kernels
