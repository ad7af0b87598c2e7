#include <algorithm>
#include <cmath>
#include "kernels/base/philox.h"
#include "kernels/pointwise/pointwise.h"

namespace kinema::kernels {

namespace {

/// y[i] = value(i, offset in a, offset in b), added to what y holds with `accumulate`; then tails.
template <class T, class Value>
void each(const View& a, const View& b, const View& y, bool accumulate, Value value) {
  if (!y.size()) return;
  const RowOffsets in_a(a), in_b(b), in_y(y);
  for (int64_t r = 0; r < in_y.rows(); ++r) {
    T* row = data<T>(y) + in_y(r);
    for (int64_t c = 0; c < y.shape[-1]; ++c) {
      const double v = value(r * y.shape[-1] + c, in_a(r) + c, in_b(r) + c);
      row[c] = T(accumulate ? double(row[c]) + v : v);
    }
    std::fill_n(row + y.shape[-1], y.tail, T(0));
  }
}

double apply(Unary u, double x) {
  switch (u) {
    case Unary::relu:
      return x < 0 ? 0 : x;
    case Unary::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Unary::tanh:
      return std::tanh(x);
  }
  return 0;
}

double slope(Unary u, double y) {
  switch (u) {
    case Unary::relu:
      return y > 0 ? 1 : 0;
    case Unary::sigmoid:
      return y * (1 - y);
    case Unary::tanh:
      return 1 - y * y;
  }
  return 0;
}

void forward(Stream, Unary u, View x, View y) {
  check_pointwise(name_of(u), x, y);
  dispatch_float(name_of(u), x.dtype, [&]<class T>(T) {
    each<T>(x, x, y, false,
            [&](int64_t, int64_t at, int64_t) { return apply(u, double(data<const T>(x)[at])); });
  });
}

void grad(Stream, Unary u, View y, View dy, View dx, bool accumulate) {
  check_pointwise(name_of(u), y, dy);
  check_pointwise(name_of(u), y, dx);
  dispatch_float(name_of(u), y.dtype, [&]<class T>(T) {
    each<T>(y, dy, dx, accumulate, [&](int64_t, int64_t at_y, int64_t at_dy) {
      return slope(u, double(data<const T>(y)[at_y])) * double(data<const T>(dy)[at_dy]);
    });
  });
}

void add(Stream, View a, View b, View y) {
  check_pointwise("add", a, b);
  check_pointwise("add", a, y);
  dispatch_float("add", a.dtype, [&]<class T>(T) {
    each<T>(a, b, y, false, [&](int64_t, int64_t at_a, int64_t at_b) {
      return double(data<const T>(a)[at_a]) + double(data<const T>(b)[at_b]);
    });
  });
}

void multiply(Stream, View a, View b, View y, bool accumulate) {
  check_pointwise("multiply", a, b);
  check_pointwise("multiply", a, y);
  dispatch_float("multiply", a.dtype, [&]<class T>(T) {
    each<T>(a, b, y, accumulate, [&](int64_t, int64_t at_a, int64_t at_b) {
      return double(data<const T>(a)[at_a]) * double(data<const T>(b)[at_b]);
    });
  });
}

void scale(Stream, double factor, View x, View y) {
  check_pointwise("scale", x, y);
  dispatch_float("scale", x.dtype, [&]<class T>(T) {
    each<T>(x, x, y, false,
            [&](int64_t, int64_t at, int64_t) { return factor * double(data<const T>(x)[at]); });
  });
}

void dropout(Stream, const DropoutOptions& o, View step, View x, View y, bool accumulate) {
  check_dropout(o, step, x, y);
  const uint64_t stream = stream_of_draw(o.call, uint64_t(*data<const int64_t>(step)), o.place);
  dispatch_float("dropout", x.dtype, [&]<class T>(T) {
    each<T>(x, x, y, accumulate, [&](int64_t i, int64_t at, int64_t) {
      const uint32_t word = philox(uint64_t(i / 4), o.seed, stream)[size_t(i % 4)];
      return double(unit_float(word)) < o.p ? 0 : double(data<const T>(x)[at]) / (1 - o.p);
    });
  });
}

}  // namespace

const Pointwise pointwise_reference = {.forward = forward,
                                       .grad = grad,
                                       .add = add,
                                       .multiply = multiply,
                                       .scale = scale,
                                       .dropout = dropout};

}  // namespace kinema::kernels
