#include <algorithm>
#include "kernels/copy/copy.h"

namespace kinema::kernels {

namespace {

/// f(x_row, y_row, length) for each innermost row.
template <class F>
void each_row(const View& x, const View& y, F f) {
  if (!y.size()) return;
  const RowOffsets from(x), to(y);
  for (int64_t r = 0; r < to.rows(); ++r) f(from(r), to(r), y.shape[-1]);
}

/// a + b, rounded once.
template <class Y, class X>
Y sum(Y a, X b) {
  if constexpr (std::is_integral_v<Y>) return Y(a + Y(b));
  return Y(double(a) + double(b));
}

void forward(Stream, View x, View y, bool accumulate) {
  check_copy(x, y, accumulate);
  dispatch_any(x.dtype, [&]<class X>(X) {
    dispatch_any(y.dtype, [&]<class Y>(Y) {
      each_row(x, y, [&](int64_t from, int64_t to, int64_t length) {
        for (int64_t i = 0; i < length; ++i) {
          Y& at = data<Y>(y)[to + i];
          const X now = data<X>(x)[from + i];
          at = accumulate ? sum(at, now) : Y(now);
        }
        for (int64_t i = 0; i < y.tail; ++i) data<Y>(y)[to + length + i] = Y(0);
      });
    });
  });
}

void fill(Stream, View y, double value) {
  dispatch_any(y.dtype, [&]<class Y>(Y) {
    each_row(y, y, [&](int64_t, int64_t to, int64_t length) {
      for (int64_t i = 0; i < length; ++i) data<Y>(y)[to + i] = Y(value);
      for (int64_t i = 0; i < y.tail; ++i) data<Y>(y)[to + length + i] = Y(0);
    });
  });
}

}  // namespace

const Copy copy_reference = {.forward = forward, .fill = fill};

}  // namespace kinema::kernels
