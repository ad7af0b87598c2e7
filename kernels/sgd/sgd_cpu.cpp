// Bound by memory: reads w, g and v once, writes w, v and the working copy once.
#include <algorithm>
#include "kernels/base/parallel.h"
#include "kernels/sgd/sgd.h"

namespace kinema::kernels {

namespace {

constexpr int64_t grain = 16384;  // elements a core takes at least

struct Factors {
  float rate, factor, momentum, fresh, decay;
};

void without_momentum(const Factors& f, float* w, const float* g, int64_t length) {
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) w[i] -= f.rate * (f.factor * g[i] + f.decay * w[i]);
}

template <bool nesterov>
void with_momentum(const Factors& f, float* w, const float* g, float* v, int64_t length,
                   bool first_step) {
  // The first step overwrites the velocity, whatever it holds: it must not be multiplied by 0.
  if (first_step) {
    for (int64_t i = 0; i < length; ++i) v[i] = f.factor * g[i] + f.decay * w[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < length; ++i)
      v[i] = f.momentum * v[i] + f.fresh * (f.factor * g[i] + f.decay * w[i]);
  }
#pragma omp simd
  for (int64_t i = 0; i < length; ++i) {
    const float d = nesterov ? f.factor * g[i] + f.decay * w[i] + f.momentum * v[i] : v[i];
    w[i] -= f.rate * d;
  }
}

/// Elements of row `row` of the working copy from `start` on.
struct Place {
  const WorkingCopy& copy;
  int64_t row, start;
};

void run(const SgdOptions& o, const Update& u, float* w, const float* g, float* v, int64_t length,
         const Place& to) {
  const Factors f{.rate = float(u.rate),
                  .factor = float(u.factor),
                  .momentum = float(o.momentum),
                  .fresh = float(1 - o.dampening),
                  .decay = float(o.weight_decay)};
  const bool first = u.number == 1;
  // In pieces that stay in the first cache between the two loops.
  constexpr int64_t piece = 1024;
  for (int64_t i = 0; i < length; i += piece) {
    const int64_t count = std::min(piece, length - i);
    if (o.momentum == 0) {
      without_momentum(f, w + i, g + i, count);
    } else if (o.nesterov) {
      with_momentum<true>(f, w + i, g + i, v + i, count, first);
    } else {
      with_momentum<false>(f, w + i, g + i, v + i, count, first);
    }
    to.copy.write(w + i, to.row, to.start + i, count);
  }
}

void step(Stream, const SgdOptions& o, View update, View w, View g, View v, View working) {
  check_sgd(o, update, w, g, v, working);
  const Update u = *update_of(update);
  if (!w.size() || u.apply == 0) return;
  const int64_t length = w.shape[-1];
  const WorkingCopy copy(working);
  float* velocity = v ? data<float>(v) : nullptr;
  if (w.shape.rank == 1)
    return parallel_for(length, grain, [&](int64_t a, int64_t b) {
      run(o, u, data<float>(w) + a, data<const float>(g) + a, v ? velocity + a : nullptr, b - a,
          {copy, 0, a});
    });
  const RowOffsets in_w(w), in_g(g), in_v(v ? v : w);
  parallel_for(in_w.rows(), std::max<int64_t>(1, grain / length), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      float* row = data<float>(w) + in_w(r);
      float* row_v = v ? velocity + in_v(r) : nullptr;
      run(o, u, row, data<const float>(g) + in_g(r), row_v, length, {copy, r, 0});
      std::fill_n(row + length, w.tail, 0.f);
      if (v) std::fill_n(row_v + length, v.tail, 0.f);
    }
  });
}

}  // namespace

const Sgd sgd_cpu = {.step = step};

}  // namespace kinema::kernels
