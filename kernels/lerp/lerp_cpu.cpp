// Bound by memory: reads x and y once, writes y once.
#include <algorithm>
#include "kernels/base/parallel.h"
#include "kernels/lerp/lerp.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

void run(float t, const float* x, float* y, int64_t length) {
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) y[i] += t * (x[i] - y[i]);
}

void towards(Stream, double t, View x, View y) {
  check_lerp(t, x, y);
  if (!y.size()) return;
  const float share = float(t);
  const int64_t length = y.shape[-1];
  if (y.shape.rank == 1)
    return parallel_for(length, grain, [&](int64_t a, int64_t b) {
      run(share, data<const float>(x) + a, data<float>(y) + a, b - a);
    });
  const RowOffsets from(x), to(y);
  parallel_for(to.rows(), std::max<int64_t>(1, grain / length), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      float* row = data<float>(y) + to(r);
      run(share, data<const float>(x) + from(r), row, length);
      std::fill_n(row + length, y.tail, 0.f);
    }
  });
}

}  // namespace

const Lerp lerp_cpu = {.towards = towards};

}  // namespace kinema::kernels
