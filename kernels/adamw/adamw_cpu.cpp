// Bound by memory: reads w, g, m and v once, writes w, m, v and the working copy once.
#include <algorithm>
#include <cmath>
#include "kernels/adamw/adamw.h"
#include "kernels/adamw/adamw_factors.h"
#include "kernels/base/parallel.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

/// Without errno, which a root of a negative number would set, the loop becomes vector code.
__attribute__((optimize("no-math-errno"))) void run(const AdamWFactors& f, float* w, const float* g,
                                                    float* m, float* v, int64_t length) {
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) {
    const float d = f.factor * g[i];
    m[i] = f.beta1 * m[i] + f.fresh1 * d;
    v[i] = f.beta2 * v[i] + f.fresh2 * d * d;
    w[i] = f.keep * w[i] - f.step * m[i] / (std::sqrt(v[i]) * f.root + f.eps);
  }
}

/// run() in pieces that stay in the first cache until the working copy of row `row`, from `start`
/// on, has them too.
void run_copying(const AdamWFactors& f, float* w, const float* g, float* m, float* v,
                 int64_t length, const WorkingCopy& copy, int64_t row, int64_t start) {
  constexpr int64_t piece = 1024;
  for (int64_t i = 0; i < length; i += piece) {
    const int64_t count = std::min(piece, length - i);
    run(f, w + i, g + i, m + i, v + i, count);
    copy.write(w + i, row, start + i, count);
  }
}

void step(Stream, const AdamWOptions& o, View update, View w, View g, View m, View v,
          View working) {
  check_adamw(o, update, w, g, m, v, working);
  const Update u = *update_of(update);
  if (!w.size() || u.apply == 0) return;
  const AdamWFactors factors = adamw_factors(o, u, 1 / std::sqrt(1 - power(o.beta2, u.number)));
  const WorkingCopy copy(working);
  const int64_t length = w.shape[-1];
  float *values = data<float>(w), *means = data<float>(m), *squares = data<float>(v);
  const float* gradients = data<const float>(g);
  if (w.shape.rank == 1)
    return parallel_for(length, grain, [&](int64_t a, int64_t b) {
      run_copying(factors, values + a, gradients + a, means + a, squares + a, b - a, copy, 0, a);
    });
  const RowOffsets in_w(w), in_g(g), in_m(m), in_v(v);
  parallel_for(in_w.rows(), std::max<int64_t>(1, grain / length), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      float *row = values + in_w(r), *mean = means + in_m(r), *square = squares + in_v(r);
      run_copying(factors, row, gradients + in_g(r), mean, square, length, copy, r, 0);
      std::fill_n(row + length, w.tail, 0.f);
      std::fill_n(mean + length, m.tail, 0.f);
      std::fill_n(square + length, v.tail, 0.f);
    }
  });
}

}  // namespace

const AdamW adamw_cpu = {.step = step};

}  // namespace kinema::kernels
