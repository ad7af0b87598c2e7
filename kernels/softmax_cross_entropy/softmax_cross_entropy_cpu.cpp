// A row a core at a time; sums run in double, losses are added in the order of the rows.
#include <algorithm>
#include <cmath>
#include <vector>
#include "kernels/base/parallel.h"
#include "kernels/base/vector_math.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace kinema::kernels {

namespace {

constexpr const char* name = "softmax_cross_entropy";
constexpr int64_t grain = 4096;  // elements a core takes at least

template <class T>
float largest(const T* row, int64_t length) {
  float most = row[0];
#pragma omp simd reduction(max : most)
  for (int64_t k = 1; k < length; ++k) most = std::max(most, float(row[k]));
  return most;
}

/// out[k] = e^(row[k] - most); their sum in double. What lies 87 below the largest counts as
/// e^-87: nothing beside its 1.
template <class T>
double exponentials(const T* row, int64_t length, float most, float* out) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < length; ++k) {
    const float e = vector_exp(row[k] - most);
    out[k] = e;
    sum += double(e);
  }
  return sum;
}

template <class T>
void softmax_as(const View& x, const View& p) {
  const RowOffsets from(x), to(p);
  const int64_t length = x.shape[-1];
  parallel_for(from.rows(), std::max<int64_t>(1, grain / length), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      const T* row = data<const T>(x) + from(r);
      float* out = data<float>(p) + to(r);
      const double sum = exponentials(row, length, largest(row, length), out);
      const float scale = float(1 / sum);
      for (int64_t k = 0; k < length; ++k) out[k] *= scale;
      std::fill_n(out + length, p.tail, 0.f);
    }
  });
}

void softmax(Stream, View x, View p) {
  check_softmax(x, p);
  if (!x.size()) return;
  dispatch_activation("softmax", x.dtype, [&]<class T>(T) { softmax_as<T>(x, p); });
}

/// sum over k of -q[k] * log p[k] of one row: the log of the total less the mean logit under q.
template <class T>
double row_loss(double smoothing, const T* row, int64_t classes, int64_t label, float* spare) {
  const float most = largest(row, classes);
  const double log_total = double(most) + std::log(exponentials(row, classes, most, spare));
  double loss = 0;
  if (smoothing < 1) loss += (1 - smoothing) * (log_total - double(row[label]));
  if (smoothing == 0) return loss;  // a class ruled out by -infinity costs nothing then
  double all = 0;
#pragma omp simd reduction(+ : all)
  for (int64_t k = 0; k < classes; ++k) all += log_total - double(row[k]);
  return loss + smoothing / double(classes) * all;
}

void forward(Stream stream, const SoftmaxCrossEntropyOptions& o, View logits, View labels,
             View loss, View p) {
  check_softmax_cross_entropy(o, logits, labels, loss, p);
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  check_labels(labels, classes);
  std::vector<double> losses(static_cast<size_t>(rows));
  dispatch_activation(name, logits.dtype, [&]<class T>(T) {
    parallel_for(rows, std::max<int64_t>(1, grain / classes), [&](int64_t a, int64_t b) {
      std::vector<float> spare(static_cast<size_t>(classes));
      for (int64_t n = a; n < b; ++n)
        losses[size_t(n)] = row_loss(o.smoothing, data<const T>(logits) + n * logits.stride(0),
                                     classes, data<const int64_t>(labels)[n], spare.data());
    });
  });
  double sum = 0;
  for (double l : losses) sum += l;
  data<float>(loss)[0] = float(sum / double(rows));
  if (p) softmax(stream, logits, p);
}

template <class T>
void grad_as(const SoftmaxCrossEntropyOptions& o, const View& p, const View& labels,
             const View& dloss, const View& dlogits, bool accumulate) {
  const int64_t rows = p.shape[0], classes = p.shape[1];
  const double scale = double(data<const float>(dloss)[0]) / double(rows);
  const float factor = float(scale), spread = float(o.smoothing / double(classes) * scale);
  parallel_for(rows, std::max<int64_t>(1, grain / classes), [&](int64_t a, int64_t b) {
    for (int64_t n = a; n < b; ++n) {
      const float* row = data<const float>(p) + n * p.stride(0);
      T* out = data<T>(dlogits) + n * dlogits.stride(0);
      const int64_t label = data<const int64_t>(labels)[n];
      const double before = accumulate ? double(out[label]) : 0;
      for (int64_t k = 0; k < classes; ++k)
        out[k] = T((accumulate ? out[k] : 0.f) + (row[k] * factor - spread));
      // In double: near a right answer p and q cancel.
      const double q = 1 - o.smoothing + o.smoothing / double(classes);
      out[label] = T(before + (double(row[label]) - q) * scale);
      std::fill_n(out + classes, dlogits.tail, T(0));
    }
  });
}

void grad(Stream, const SoftmaxCrossEntropyOptions& o, View p, View labels, View dloss,
          View dlogits, bool accumulate) {
  check_softmax_cross_entropy(o, dlogits, labels, dloss, p);
  check_labels(labels, p.shape[1]);
  dispatch_activation(name, dlogits.dtype,
                      [&]<class T>(T) { grad_as<T>(o, p, labels, dloss, dlogits, accumulate); });
}

}  // namespace

const SoftmaxCrossEntropy softmax_cross_entropy_cpu = {
    .forward = forward, .grad = grad, .softmax = softmax};

}  // namespace kinema::kernels
