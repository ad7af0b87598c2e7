#include <algorithm>
#include "kernels/reduce/reduce.h"

namespace kinema::kernels {

namespace {

/// f(offset in x, offset in y) for each element of x, row-major; y is read along its axes of
/// size 1.
template <class F>
void each(const View& x, const View& y, F f) {
  for (int64_t i = 0; i < x.size(); ++i) {
    int64_t rest = i, in_x = 0, in_y = 0;
    for (int a = x.shape.rank - 1; a >= 0; --a) {
      const int64_t index = rest % x.shape[a];
      rest /= x.shape[a];
      in_x += index * x.stride(a);
      if (y.shape[a] != 1) in_y += index * y.stride(a);
    }
    f(in_x, in_y);
  }
}

void zero_tails(const View& v) {
  dispatch_float("reduce", v.dtype, [&]<class T>(T) {
    const RowOffsets offset(v);
    for (int64_t r = 0; v.size() && r < offset.rows(); ++r)
      std::fill_n(data<T>(v) + offset(r) + v.shape[-1], v.tail, T(0));
  });
}

/// f(zero of the type of x, zero of that of y).
template <class F>
void dispatch_both(const View& x, const View& y, F f) {
  dispatch_float("reduce", x.dtype, [&]<class T>(T zero) {
    if (y.dtype == x.dtype) return f(zero, zero);
    f(zero, Wide<T>(0));
  });
}

/// The sum of one element of y at a time: slow, and as plain as the formula.
void forward(Stream, const ReduceOptions& o, View x, View y, bool accumulate) {
  check_reduce(o, x, y);
  dispatch_both(x, y, [&]<class T, class Y>(T, Y) {
    each(y, y, [&](int64_t at, int64_t) {
      if (!accumulate) data<Y>(y)[at] = Y(0);
    });
    View one = x;  // the part of x that is summed into one element of y
    for (int a = 0; a < x.shape.rank; ++a)
      if (o.axes[size_t(a)] == false) one.shape[a] = 1;
    // Where in x the elements of y begin: x seen without the reduced axes.
    View starts = x;
    starts.shape = y.shape;
    each(starts, y, [&](int64_t from, int64_t to) {
      double sum = 0;
      each(one, one, [&](int64_t at, int64_t) { sum += double(data<const T>(x)[from + at]); });
      data<Y>(y)[to] = Y(double(data<Y>(y)[to]) + o.scale * sum);
    });
  });
  zero_tails(y);
}

void broadcast(Stream, const ReduceOptions& o, View dy, View dx, bool accumulate) {
  check_reduce(o, dx, dy);
  dispatch_both(dx, dy, [&]<class T, class Y>(T, Y) {
    each(dx, dy, [&](int64_t to, int64_t from) {
      const double before = accumulate ? double(data<T>(dx)[to]) : 0;
      data<T>(dx)[to] = T(before + o.scale * double(data<const Y>(dy)[from]));
    });
  });
  zero_tails(dx);
}

void squared_norm(Stream, View x, View y, bool accumulate) {
  check_number("squared_norm", "y", y, Dtype::f64);
  double sum = accumulate ? *data<double>(y) : 0;
  dispatch_float("reduce", x.dtype, [&]<class T>(T) {
    each(x, x, [&](int64_t at, int64_t) {
      sum += double(data<const T>(x)[at]) * double(data<const T>(x)[at]);
    });
  });
  *data<double>(y) = sum;
}

}  // namespace

const Reduce reduce_reference = {
    .forward = forward, .broadcast = broadcast, .squared_norm = squared_norm};

}  // namespace kinema::kernels
