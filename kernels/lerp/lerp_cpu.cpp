// Bound by memory: reads x and y once, writes y once.
#include <algorithm>
#include "kernels/base/parallel.h"
#include "kernels/lerp/lerp.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

template <class T>
void run(float t, const T* x, T* y, int64_t length) {
  if (t == 0) return;
  if (t == 1) return void(std::copy_n(x, length, y));
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) y[i] = T(y[i] + t * (x[i] - y[i]));
}

template <class T>
void towards_as(float share, const View& x, const View& y) {
  const int64_t length = y.shape[-1];
  if (y.shape.rank == 1)
    return parallel_for(length, grain, [&](int64_t a, int64_t b) {
      run(share, data<const T>(x) + a, data<T>(y) + a, b - a);
    });
  const RowOffsets from(x), to(y);
  parallel_for(to.rows(), std::max<int64_t>(1, grain / length), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      T* row = data<T>(y) + to(r);
      run(share, data<const T>(x) + from(r), row, length);
      std::fill_n(row + length, y.tail, T(0));
    }
  });
}

void towards(Stream, View t, View x, View y) {
  check_lerp(t, x, y);
  if (!y.size()) return;
  const auto share = float(*data<const double>(t));
  dispatch_activation("lerp", y.dtype, [&]<class T>(T) { towards_as<T>(share, x, y); });
}

}  // namespace

const Lerp lerp_cpu = {.towards = towards};

}  // namespace kinema::kernels
