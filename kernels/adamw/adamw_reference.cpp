#include <algorithm>
#include <cmath>
#include "kernels/adamw/adamw.h"

namespace kinema::kernels {

namespace {

template <class T>
void step_one(const AdamWOptions& o, const Update& u, T& w, T g, T& m, T& v) {
  const double d = u.factor * double(g);
  const double mean = o.beta1 * double(m) + (1 - o.beta1) * d;
  const double square = o.beta2 * double(v) + (1 - o.beta2) * d * d;
  const double unbiased_mean = mean / (1 - std::pow(o.beta1, u.number));
  const double unbiased_square = square / (1 - std::pow(o.beta2, u.number));
  const double decayed = double(w) - u.rate * o.weight_decay * double(w);
  w = T(decayed - u.rate * unbiased_mean / (std::sqrt(unbiased_square) + o.eps));
  m = T(mean);
  v = T(square);
}

void step(Stream, const AdamWOptions& o, View update, View w, View g, View m, View v,
          View working) {
  check_adamw(o, update, w, g, m, v, working);
  const Update u = *update_of(update);
  if (!w.size() || u.apply == 0) return;
  dispatch_float("adamw", w.dtype, [&]<class T>(T) {
    const RowOffsets in_w(w), in_g(g), in_m(m), in_v(v);
    const WorkingCopy copy(working);
    const int64_t length = w.shape[-1];
    for (int64_t r = 0; r < in_w.rows(); ++r) {
      T *row = data<T>(w) + in_w(r), *mean = data<T>(m) + in_m(r), *square = data<T>(v) + in_v(r);
      for (int64_t i = 0; i < length; ++i)
        step_one(o, u, row[i], data<const T>(g)[in_g(r) + i], mean[i], square[i]);
      if constexpr (std::is_same_v<T, float>) copy.write(row, r, 0, length);
      std::fill_n(row + length, w.tail, T(0));
      std::fill_n(mean + length, m.tail, T(0));
      std::fill_n(square + length, v.tail, T(0));
    }
  });
}

}  // namespace

const AdamW adamw_reference = {.step = step};

}  // namespace kinema::kernels
