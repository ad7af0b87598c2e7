#include <algorithm>
#include <cmath>
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace kinema::kernels {

namespace {

/// log of the sum of e^row[k], without overflow.
template <class T>
double log_sum(const T* row, int64_t length) {
  double most = double(row[0]), sum = 0;
  for (int64_t k = 1; k < length; ++k) most = std::max(most, double(row[k]));
  for (int64_t k = 0; k < length; ++k) sum += std::exp(double(row[k]) - most);
  return most + std::log(sum);
}

void softmax(Stream, View x, View p) {
  check_softmax(x, p);
  dispatch_float("softmax", x.dtype, [&]<class T>(T) {
    const RowOffsets from(x), to(p);
    const int64_t length = x.shape[-1];
    for (int64_t r = 0; x.size() && r < from.rows(); ++r) {
      const T* row = data<const T>(x) + from(r);
      Wide<T>* out = data<Wide<T>>(p) + to(r);
      const double log_total = log_sum(row, length);
      for (int64_t k = 0; k < length; ++k) out[k] = Wide<T>(std::exp(double(row[k]) - log_total));
      std::fill_n(out + length, p.tail, Wide<T>(0));
    }
  });
}

/// The share of class k in the target of a row with this label.
double target(const SoftmaxCrossEntropyOptions& o, int64_t label, int64_t k, int64_t classes) {
  return (1 - o.smoothing) * (k == label ? 1 : 0) + o.smoothing / double(classes);
}

template <class T>
double row_loss(const SoftmaxCrossEntropyOptions& o, const T* row, int64_t classes, int64_t label) {
  const double log_total = log_sum(row, classes);
  double sum = 0;
  for (int64_t k = 0; k < classes; ++k) {
    const double q = target(o, label, k, classes);
    if (q > 0) sum += q * (log_total - double(row[k]));
  }
  return sum;
}

void forward(Stream stream, const SoftmaxCrossEntropyOptions& o, View logits, View labels,
             View loss, View p) {
  check_softmax_cross_entropy(o, logits, labels, loss, p);
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  check_labels(labels, classes);
  dispatch_float("softmax_cross_entropy", logits.dtype, [&]<class T>(T) {
    double sum = 0;
    for (int64_t n = 0; n < rows; ++n)
      sum += row_loss(o, data<const T>(logits) + n * logits.stride(0), classes,
                      data<const int64_t>(labels)[n]);
    data<Wide<T>>(loss)[0] = Wide<T>(sum / double(rows));
  });
  if (p) softmax(stream, logits, p);
}

/// dlogits of row n, p(k) being the probability of class k.
template <class T, class P>
void grad_row(const SoftmaxCrossEntropyOptions& o, int64_t n, const P& p, const View& labels,
              const View& dloss, const View& dlogits, bool accumulate) {
  const int64_t rows = dlogits.shape[0], classes = dlogits.shape[1];
  T* out = data<T>(dlogits) + n * dlogits.stride(0);
  for (int64_t k = 0; k < classes; ++k) {
    const double q = target(o, data<const int64_t>(labels)[n], k, classes);
    const double d = (p(k) - q) / double(rows) * double(data<const Wide<T>>(dloss)[0]);
    out[k] = T((accumulate ? double(out[k]) : 0) + d);
  }
  std::fill_n(out + classes, dlogits.tail, T(0));
}

void grad(Stream, const SoftmaxCrossEntropyOptions& o, View p, View labels, View dloss,
          View dlogits, bool accumulate) {
  check_softmax_cross_entropy(o, dlogits, labels, dloss, p);
  check_labels(labels, p.shape[1]);
  dispatch_float("softmax_cross_entropy", dlogits.dtype, [&]<class T>(T) {
    for (int64_t n = 0; n < p.shape[0]; ++n) {
      const Wide<T>* row = data<const Wide<T>>(p) + n * p.stride(0);
      grad_row<T>(
          o, n, [&](int64_t k) { return double(row[k]); }, labels, dloss, dlogits, accumulate);
    }
  });
}

void forward_grad(Stream stream, const SoftmaxCrossEntropyOptions& o, View logits, View labels,
                  View dloss, View loss, View dlogits, bool accumulate) {
  check_softmax_cross_entropy_grad(o, logits, labels, dloss, loss, dlogits);
  forward(stream, o, logits, labels, loss, {});
  dispatch_float("softmax_cross_entropy", logits.dtype, [&]<class T>(T) {
    for (int64_t n = 0; n < logits.shape[0]; ++n) {
      const T* row = data<const T>(logits) + n * logits.stride(0);
      const double log_total = log_sum(row, logits.shape[1]);
      const auto p = [&](int64_t k) { return std::exp(double(row[k]) - log_total); };
      grad_row<T>(o, n, p, labels, dloss, dlogits, accumulate);
    }
  });
}

}  // namespace

const SoftmaxCrossEntropy softmax_cross_entropy_reference = {
    .forward = forward, .grad = grad, .forward_grad = forward_grad, .softmax = softmax};

}  // namespace kinema::kernels
