#include <algorithm>
#include "kernels/linear/linear.h"

namespace kinema::kernels {

namespace {

/// y[r,c] = value(r, c), added to what y holds with `accumulate`; then the row's tail.
template <class T, class Value>
void each(const View& y, bool accumulate, Value value) {
  for (int64_t r = 0; r < y.shape[0]; ++r) {
    T* row = data<T>(y) + r * y.stride(0);
    for (int64_t c = 0; c < y.shape[1]; ++c)
      row[c] = T((accumulate ? double(row[c]) : 0) + value(r, c));
    if (y.shape[1]) std::fill_n(row + y.shape[1], y.tail, T(0));
  }
}

template <class T>
double at(const View& v, int64_t row, int64_t column) {
  return double(data<const T>(v)[row * v.stride(0) + column]);
}

void forward(Stream, const LinearOptions&, View x, View w, View y, const LinearEpilogue& e) {
  check_linear(x, w, y, e);
  dispatch_float("linear", x.dtype, [&]<class T>(T) {
    each<T>(y, false, [&](int64_t r, int64_t k) {
      double sum = e.bias ? double(data<const Wide<T>>(e.bias)[k]) : 0;
      for (int64_t i = 0; i < x.shape[1]; ++i) sum += at<T>(x, r, i) * at<T>(w, k, i);
      return e.relu && sum < 0 ? 0 : sum;
    });
  });
}

void grad_input(Stream, const LinearOptions&, View dy, View w, View dx, bool accumulate) {
  check_linear(dx, w, dy);
  dispatch_float("linear", dx.dtype, [&]<class T>(T) {
    each<T>(dx, accumulate, [&](int64_t r, int64_t i) {
      double sum = 0;
      for (int64_t k = 0; k < dy.shape[1]; ++k) sum += at<T>(dy, r, k) * at<T>(w, k, i);
      return sum;
    });
  });
}

void grad_weight(Stream, const LinearOptions&, View x, View dy, View dw, bool accumulate) {
  check_linear_weight(x, dy, dw);
  dispatch_float("linear", x.dtype, [&]<class T>(T) {
    each<Wide<T>>(dw, accumulate, [&](int64_t k, int64_t i) {
      double sum = 0;
      for (int64_t r = 0; r < x.shape[0]; ++r) sum += at<T>(dy, r, k) * at<T>(x, r, i);
      return sum;
    });
  });
}

void grad_bias(Stream, View dy, View db, bool accumulate) {
  check_linear_bias(dy, db);
  dispatch_float("linear", dy.dtype, [&]<class T>(T) {
    for (int64_t k = 0; k < db.shape[0]; ++k) {
      double sum = accumulate ? double(data<const Wide<T>>(db)[k]) : 0;
      for (int64_t r = 0; r < dy.shape[0]; ++r) sum += at<T>(dy, r, k);
      data<Wide<T>>(db)[k] = Wide<T>(sum);
    }
  });
}

}  // namespace

const Linear linear_reference = {.forward = forward,
                                 .grad_input = grad_input,
                                 .grad_weight = grad_weight,
                                 .grad_bias = grad_bias};

}  // namespace kinema::kernels
