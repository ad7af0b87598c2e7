// A row a core at a time; sums run in double, rows are added in their order.
#include <algorithm>
#include <cmath>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/base/vector_math.h"
#include "kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 4096;  // elements a core takes at least

/// The loss of one row, summed. log(1 + e) stays in double: there is one a class and clip.
double row_loss(double smoothing, const float* x, const float* t, int64_t classes) {
  double sum = 0;
  for (int64_t k = 0; k < classes; ++k) {
    const double v = double(x[k]), q = (1 - smoothing) * double(t[k]) + smoothing / 2;
    sum += std::max(v, 0.) - v * q + std::log1p(std::exp(-std::abs(v)));
  }
  return sum;
}

void forward(Stream, const SigmoidCrossEntropyOptions& o, View logits, View targets, View loss) {
  check_sigmoid_cross_entropy(o, logits, targets, loss);
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  std::vector<double> losses(static_cast<size_t>(rows));
  parallel_for(rows, std::max<int64_t>(1, grain / classes), [&](int64_t a, int64_t b) {
    for (int64_t n = a; n < b; ++n)
      losses[size_t(n)] = row_loss(o.smoothing, data<const float>(logits) + n * logits.stride(0),
                                   data<const float>(targets) + n * targets.stride(0), classes);
  });
  double sum = 0;
  for (double l : losses) sum += l;
  data<float>(loss)[0] = float(sum / double(logits.size()));
}

void grad(Stream, const SigmoidCrossEntropyOptions& o, View logits, View targets, View dloss,
          View dlogits, bool accumulate) {
  check_sigmoid_cross_entropy(o, logits, targets, dloss, dlogits);
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  const float scale = float(double(data<const float>(dloss)[0]) / double(logits.size()));
  const float keep = float(1 - o.smoothing), spread = float(o.smoothing / 2);
  parallel_for(rows, std::max<int64_t>(1, grain / classes), [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      const float* x = data<const float>(logits) + n * logits.stride(0);
      const float* t = data<const float>(targets) + n * targets.stride(0);
      float* out = data<float>(dlogits) + n * dlogits.stride(0);
#pragma omp simd
      for (int64_t k = 0; k < classes; ++k) {
        const float e = vector_exp(-std::abs(x[k]));
        const float s = (x[k] >= 0 ? 1.f : e) / (1.f + e);
        out[k] = (accumulate ? out[k] : 0.f) + (s - (keep * t[k] + spread)) * scale;
      }
      std::fill_n(out + classes, dlogits.tail, 0.f);
    }
  });
}

}  // namespace

const SigmoidCrossEntropy sigmoid_cross_entropy_cpu = {.forward = forward, .grad = grad};

}  // namespace kinema::kernels
