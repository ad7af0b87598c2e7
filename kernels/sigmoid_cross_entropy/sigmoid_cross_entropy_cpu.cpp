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

/// What a pass computes of each row; a View that is not given is left out.
struct Wanted {
  View loss{}, dlogits{};
  double dloss = 0;
  bool accumulate = false;
};

/// The loss of one row, summed. log(1 + e) stays in double: there is one a class and clip.
template <class T>
double row_loss(double smoothing, const T* x, const float* t, int64_t classes) {
  double sum = 0;
  for (int64_t k = 0; k < classes; ++k) {
    const double v = double(x[k]), q = (1 - smoothing) * double(t[k]) + smoothing / 2;
    sum += std::max(v, 0.) - v * q + std::log1p(std::exp(-std::abs(v)));
  }
  return sum;
}

template <class T>
void grad_row(double smoothing, const T* x, const float* t, int64_t n, const Wanted& to) {
  const int64_t classes = to.dlogits.shape[1];
  const float scale = float(to.dloss / double(to.dlogits.size()));
  const float keep = float(1 - smoothing), spread = float(smoothing / 2);
  T* out = data<T>(to.dlogits) + n * to.dlogits.stride(0);
#pragma omp simd
  for (int64_t k = 0; k < classes; ++k) {
    const float v = x[k], e = vector_exp(-std::abs(v));
    const float s = (v >= 0 ? 1.f : e) / (1.f + e);
    out[k] = T((to.accumulate ? float(out[k]) : 0.f) + (s - (keep * t[k] + spread)) * scale);
  }
  std::fill_n(out + classes, to.dlogits.tail, T(0));
}

template <class T>
void run_as(const SigmoidCrossEntropyOptions& o, const View& logits, const View& targets,
            const Wanted& to) {
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  std::vector<double> losses(static_cast<size_t>(rows));
  parallel_for(rows, std::max<int64_t>(1, grain / classes), [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      const T* x = data<const T>(logits) + n * logits.stride(0);
      const float* t = data<const float>(targets) + n * targets.stride(0);
      if (to.loss) losses[size_t(n)] = row_loss(o.smoothing, x, t, classes);
      if (to.dlogits) grad_row(o.smoothing, x, t, n, to);
    }
  });
  double sum = 0;
  for (double l : losses) sum += l;
  if (to.loss) data<float>(to.loss)[0] = float(sum / double(logits.size()));
}

void run(const SigmoidCrossEntropyOptions& o, const View& logits, const View& targets,
         const Wanted& to) {
  dispatch_activation("sigmoid_cross_entropy", logits.dtype,
                      [&]<class T>(T) { run_as<T>(o, logits, targets, to); });
}

void forward(Stream, const SigmoidCrossEntropyOptions& o, View logits, View targets, View loss) {
  check_sigmoid_cross_entropy(o, logits, targets, loss);
  run(o, logits, targets, {.loss = loss});
}

void grad(Stream, const SigmoidCrossEntropyOptions& o, View logits, View targets, View dloss,
          View dlogits, bool accumulate) {
  check_sigmoid_cross_entropy(o, logits, targets, dloss, dlogits);
  run(o, logits, targets,
      {.dlogits = dlogits, .dloss = data<const float>(dloss)[0], .accumulate = accumulate});
}

void forward_grad(Stream, const SigmoidCrossEntropyOptions& o, View logits, View targets,
                  View dloss, View loss, View dlogits, bool accumulate) {
  check_sigmoid_cross_entropy(o, logits, targets, dloss, dlogits);
  check_sigmoid_cross_entropy(o, logits, targets, loss);
  run(o, logits, targets,
      {.loss = loss,
       .dlogits = dlogits,
       .dloss = data<const float>(dloss)[0],
       .accumulate = accumulate});
}

}  // namespace

const SigmoidCrossEntropy sigmoid_cross_entropy_cpu = {
    .forward = forward, .grad = grad, .forward_grad = forward_grad};

}  // namespace kinema::kernels
