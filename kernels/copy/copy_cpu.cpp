// Bound by memory: reads x once, writes y once (accumulating, reads y too).
#include <algorithm>
#include "kernels/base/parallel.h"
#include "kernels/copy/copy.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

/// f(x_row, y_row) for each innermost row, on all cores.
template <class F>
void each_row(const View& x, const View& y, const F& f) {
  if (!y.size()) return;
  const RowOffsets from(x), to(y);
  parallel_for(to.rows(), std::max<int64_t>(1, grain / y.shape[-1]), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) f(from(r), to(r));
  });
}

/// Elements from first to last where neither side has gaps, zero lanes counted; else 0.
int64_t one_run(const View& x, const View& y) {
  auto dense = [&](const View& v) {
    return uniform_rows(v) && v.tail == y.tail &&
           (v.shape.rank == 1 || v.stride(-2) == v.shape[-1] + v.tail);
  };
  if (!y.size() || !dense(x) || !dense(y)) return 0;
  return y.size() / y.shape[-1] * (y.shape[-1] + y.tail);
}

/// Other pairs of types have no sum; check_copy() refused them.
template <class X, class Y>
constexpr bool has_sum = std::is_same_v<X, Y> || (std::is_same_v<X, float> && sizeof(Y) == 2);

template <class X, class Y>
void move_row(const X* x, Y* y, int64_t length, bool accumulate) {
  if constexpr (has_sum<X, Y>) {
    if (accumulate) {
      for (int64_t i = 0; i < length; ++i) y[i] = Y(y[i] + x[i]);
      return;
    }
  }
  if constexpr (std::is_same_v<X, Y>) {
    std::copy_n(x, length, y);
  } else {
    for (int64_t i = 0; i < length; ++i) y[i] = Y(x[i]);
  }
}

void forward(Stream, View x, View y, bool accumulate) {
  check_copy(x, y, accumulate);
  const int64_t run = one_run(x, y);
  const int64_t length = y.size() ? y.shape[-1] : 0;
  dispatch_any(x.dtype, [&]<class X>(X) {
    dispatch_any(y.dtype, [&]<class Y>(Y) {
      if (run)
        return parallel_for(run, grain, [&](int64_t a, int64_t b) {
          move_row(data<const X>(x) + a, data<Y>(y) + a, b - a, accumulate);
        });
      each_row(x, y, [&](int64_t from, int64_t to) {
        move_row(data<const X>(x) + from, data<Y>(y) + to, length, accumulate);
        std::fill_n(data<Y>(y) + to + length, y.tail, Y(0));
      });
    });
  });
}

void fill(Stream, View y, double value) {
  dispatch_any(y.dtype, [&]<class Y>(Y) {
    each_row(y, y, [&](int64_t, int64_t to) {
      std::fill_n(data<Y>(y) + to, y.shape[-1], Y(value));
      std::fill_n(data<Y>(y) + to + y.shape[-1], y.tail, Y(0));
    });
  });
}

}  // namespace

const Copy copy_cpu = {.forward = forward, .fill = fill};

}  // namespace kinema::kernels
