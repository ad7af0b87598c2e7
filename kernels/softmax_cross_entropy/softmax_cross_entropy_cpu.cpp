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

/// f(row) for every row, on all cores, several at a time where they are short.
template <class F>
void each_row(int64_t rows, int64_t length, const F& f) {
  parallel_for(rows, std::max<int64_t>(1, grain / length), [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) f(r);
  });
}

void scale(float* row, int64_t length, double by) {
  const float factor = float(by);
  for (int64_t k = 0; k < length; ++k) row[k] *= factor;
}

void softmax(Stream, View x, View p) {
  check_softmax(x, p);
  if (!x.size()) return;
  const RowOffsets from(x), to(p);
  const int64_t length = x.shape[-1];
  dispatch_activation("softmax", x.dtype, [&]<class T>(T) {
    each_row(from.rows(), length, [&](int64_t r) {
      const T* row = data<const T>(x) + from(r);
      float* out = data<float>(p) + to(r);
      scale(out, length, 1 / exponentials(row, length, largest(row, length), out));
      std::fill_n(out + length, p.tail, 0.f);
    });
  });
}

/// The logits of one row, what is added up over them, and e^(x - most) in `spare`.
template <class T>
struct Row {
  Row(const View& logits, int64_t n, float* spare_)
      : x(data<const T>(logits) + n * logits.stride(0)),
        classes(logits.shape[1]),
        spare(spare_),
        most(largest(x, classes)),
        sum(exponentials(x, classes, most, spare)) {}

  /// sum over k of -q[k] * log p[k]: the log of the total less the mean logit under q.
  double loss(double smoothing, int64_t label) const {
    const double log_total = double(most) + std::log(sum);
    double loss = 0;
    if (smoothing < 1) loss += (1 - smoothing) * (log_total - double(x[label]));
    if (smoothing == 0) return loss;  // a class ruled out by -infinity costs nothing then
    double all = 0;
#pragma omp simd reduction(+ : all)
    for (int64_t k = 0; k < classes; ++k) all += log_total - double(x[k]);
    return loss + smoothing / double(classes) * all;
  }

  const T* x;
  int64_t classes;
  float* spare;
  float most;
  double sum;
};

/// The mean loss; f(n, row) sees each row while its exponentials are at hand.
template <class T, class F>
void forward_as(const SoftmaxCrossEntropyOptions& o, const View& logits, const View& labels,
                const View& loss, const F& f) {
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  std::vector<double> losses(static_cast<size_t>(rows));
  parallel_for(rows, std::max<int64_t>(1, grain / classes), [&](int64_t a, int64_t b) {
    std::vector<float> spare(static_cast<size_t>(classes));
    for (int64_t n = a; n < b; ++n) {
      const Row<T> row(logits, n, spare.data());
      losses[size_t(n)] = row.loss(o.smoothing, data<const int64_t>(labels)[n]);
      f(n, row);
    }
  });
  double sum = 0;
  for (double l : losses) sum += l;
  data<float>(loss)[0] = float(sum / double(rows));
}

void forward(Stream, const SoftmaxCrossEntropyOptions& o, View logits, View labels, View loss,
             View p) {
  check_softmax_cross_entropy(o, logits, labels, loss, p);
  check_labels(labels, logits.shape[1]);
  dispatch_activation(name, logits.dtype, [&]<class T>(T) {
    forward_as<T>(o, logits, labels, loss, [&](int64_t n, const Row<T>& row) {
      if (!p) return;
      float* out = data<float>(p) + n * p.stride(0);
      std::copy_n(row.spare, row.classes, out);
      scale(out, row.classes, 1 / row.sum);
      std::fill_n(out + row.classes, p.tail, 0.f);
    });
  });
}

/// Row n of dlogits from its probabilities.
template <class T>
void grad_row(const SoftmaxCrossEntropyOptions& o, const float* p, int64_t n, const View& labels,
              double dloss, const View& dlogits, bool accumulate) {
  const int64_t rows = dlogits.shape[0], classes = dlogits.shape[1];
  const double scale = dloss / double(rows);
  const float factor = float(scale), spread = float(o.smoothing / double(classes) * scale);
  T* out = data<T>(dlogits) + n * dlogits.stride(0);
  const int64_t label = data<const int64_t>(labels)[n];
  const double before = accumulate ? double(out[label]) : 0;
  for (int64_t k = 0; k < classes; ++k)
    out[k] = T((accumulate ? out[k] : 0.f) + (p[k] * factor - spread));
  // In double: near a right answer p and q cancel.
  const double q = 1 - o.smoothing + o.smoothing / double(classes);
  out[label] = T(before + (double(p[label]) - q) * scale);
  std::fill_n(out + classes, dlogits.tail, T(0));
}

void grad(Stream, const SoftmaxCrossEntropyOptions& o, View p, View labels, View dloss,
          View dlogits, bool accumulate) {
  check_softmax_cross_entropy(o, dlogits, labels, dloss, p);
  check_labels(labels, p.shape[1]);
  const double d = double(data<const float>(dloss)[0]);
  dispatch_activation(name, dlogits.dtype, [&]<class T>(T) {
    each_row(p.shape[0], p.shape[1], [&](int64_t n) {
      const float* row = data<const float>(p) + n * p.stride(0);
      grad_row<T>(o, row, n, labels, d, dlogits, accumulate);
    });
  });
}

void forward_grad(Stream, const SoftmaxCrossEntropyOptions& o, View logits, View labels, View dloss,
                  View loss, View dlogits, bool accumulate) {
  check_softmax_cross_entropy_grad(o, logits, labels, dloss, loss, dlogits);
  check_labels(labels, logits.shape[1]);
  const double d = double(data<const float>(dloss)[0]);
  dispatch_activation(name, logits.dtype, [&]<class T>(T) {
    forward_as<T>(o, logits, labels, loss, [&](int64_t n, const Row<T>& row) {
      scale(row.spare, row.classes, 1 / row.sum);
      grad_row<T>(o, row.spare, n, labels, d, dlogits, accumulate);
    });
  });
}

}  // namespace

const SoftmaxCrossEntropy softmax_cross_entropy_cpu = {
    .forward = forward, .grad = grad, .forward_grad = forward_grad, .softmax = softmax};

}  // namespace kinema::kernels
