#include <algorithm>
#include <cmath>
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"

namespace kinema::kernels {

namespace {

double target(const SigmoidCrossEntropyOptions& o, double t) {
  return (1 - o.smoothing) * t + o.smoothing / 2;
}

/// 1 / (1 + e^-x), by the exponential that cannot overflow.
double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

template <class T>
double row_loss(const SigmoidCrossEntropyOptions& o, const View& logits, const View& targets,
                int64_t n) {
  double sum = 0;
  for (int64_t k = 0; k < logits.shape[1]; ++k) {
    const double x = double(data<const T>(logits)[n * logits.stride(0) + k]);
    const double q = target(o, double(data<const Wide<T>>(targets)[n * targets.stride(0) + k]));
    sum += std::max(x, 0.) - x * q + std::log1p(std::exp(-std::abs(x)));
  }
  return sum;
}

void forward(Stream, const SigmoidCrossEntropyOptions& o, View logits, View targets, View loss) {
  check_sigmoid_cross_entropy(o, logits, targets, loss);
  dispatch_float("sigmoid_cross_entropy", logits.dtype, [&]<class T>(T) {
    double sum = 0;
    for (int64_t n = 0; n < logits.shape[0]; ++n) sum += row_loss<T>(o, logits, targets, n);
    data<Wide<T>>(loss)[0] = Wide<T>(sum / double(logits.size()));
  });
}

void grad(Stream, const SigmoidCrossEntropyOptions& o, View logits, View targets, View dloss,
          View dlogits, bool accumulate) {
  check_sigmoid_cross_entropy(o, logits, targets, dloss, dlogits);
  dispatch_float("sigmoid_cross_entropy", logits.dtype, [&]<class T>(T) {
    const double scale = double(data<const Wide<T>>(dloss)[0]) / double(logits.size());
    for (int64_t n = 0; n < logits.shape[0]; ++n) {
      T* out = data<T>(dlogits) + n * dlogits.stride(0);
      for (int64_t k = 0; k < logits.shape[1]; ++k) {
        const double x = double(data<const T>(logits)[n * logits.stride(0) + k]);
        const double q = target(o, double(data<const Wide<T>>(targets)[n * targets.stride(0) + k]));
        out[k] = T((accumulate ? double(out[k]) : 0) + (sigmoid(x) - q) * scale);
      }
      std::fill_n(out + dlogits.shape[1], dlogits.tail, T(0));
    }
  });
}

void forward_grad(Stream stream, const SigmoidCrossEntropyOptions& o, View logits, View targets,
                  View dloss, View loss, View dlogits, bool accumulate) {
  forward(stream, o, logits, targets, loss);
  grad(stream, o, logits, targets, dloss, dlogits, accumulate);
}

}  // namespace

const SigmoidCrossEntropy sigmoid_cross_entropy_reference = {
    .forward = forward, .grad = grad, .forward_grad = forward_grad};

}  // namespace kinema::kernels
