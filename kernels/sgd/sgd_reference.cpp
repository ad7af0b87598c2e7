#include <algorithm>
#include "kernels/sgd/sgd.h"

namespace kinema::kernels {

namespace {

template <class T>
void step_one(const SgdOptions& o, const Update& u, T& w, T g, T* v) {
  double d = u.factor * double(g) + o.weight_decay * double(w);
  if (o.momentum > 0) {
    const double velocity = u.number == 1 ? d : o.momentum * double(*v) + (1 - o.dampening) * d;
    *v = T(velocity);
    d = o.nesterov ? d + o.momentum * velocity : velocity;
  }
  w = T(double(w) - u.rate * d);
}

void step(Stream, const SgdOptions& o, View update, View w, View g, View v, View working) {
  check_sgd(o, update, w, g, v, working);
  const Update u = *update_of(update);
  if (!w.size() || u.apply == 0) return;
  dispatch_float("sgd", w.dtype, [&]<class T>(T) {
    const RowOffsets in_w(w), in_g(g), in_v(v ? v : w);
    const WorkingCopy copy(working);
    const int64_t length = w.shape[-1];
    for (int64_t r = 0; r < in_w.rows(); ++r) {
      T* row = data<T>(w) + in_w(r);
      T* velocity = v ? data<T>(v) + in_v(r) : nullptr;
      for (int64_t i = 0; i < length; ++i)
        step_one(o, u, row[i], data<const T>(g)[in_g(r) + i], velocity ? velocity + i : nullptr);
      if constexpr (std::is_same_v<T, float>) copy.write(row, r, 0, length);
      std::fill_n(row + length, w.tail, T(0));
      if (velocity) std::fill_n(velocity + length, v.tail, T(0));
    }
  });
}

}  // namespace

const Sgd sgd_reference = {.step = step};

}  // namespace kinema::kernels
