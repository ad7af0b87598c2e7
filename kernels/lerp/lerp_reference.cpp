#include <algorithm>
#include "kernels/lerp/lerp.h"

namespace kinema::kernels {

namespace {

/// y + t * (x - y), and exactly y or x at the ends.
template <class T>
T between(double t, T x, T y) {
  if (t == 0) return y;
  return t == 1 ? x : T(double(y) + t * (double(x) - double(y)));
}

void towards(Stream, View share, View x, View y) {
  check_lerp(share, x, y);
  if (!y.size()) return;
  const double t = *data<const double>(share);
  dispatch_float("lerp", y.dtype, [&]<class T>(T) {
    const RowOffsets from(x), to(y);
    const int64_t length = y.shape[-1];
    for (int64_t r = 0; r < to.rows(); ++r) {
      T* row = data<T>(y) + to(r);
      for (int64_t i = 0; i < length; ++i)
        row[i] = between(t, data<const T>(x)[from(r) + i], row[i]);
      std::fill_n(row + length, y.tail, T(0));
    }
  });
}

}  // namespace

const Lerp lerp_reference = {.towards = towards};

}  // namespace kinema::kernels
