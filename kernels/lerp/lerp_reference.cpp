#include <algorithm>
#include "kernels/lerp/lerp.h"

namespace kinema::kernels {

namespace {

void towards(Stream, double t, View x, View y) {
  check_lerp(t, x, y);
  if (!y.size()) return;
  dispatch_float("lerp", y.dtype, [&]<class T>(T) {
    const RowOffsets from(x), to(y);
    const int64_t length = y.shape[-1];
    for (int64_t r = 0; r < to.rows(); ++r) {
      T* row = data<T>(y) + to(r);
      for (int64_t i = 0; i < length; ++i)
        row[i] = T(double(row[i]) + t * (double(data<const T>(x)[from(r) + i]) - double(row[i])));
      std::fill_n(row + length, y.tail, T(0));
    }
  });
}

}  // namespace

const Lerp lerp_reference = {.towards = towards};

}  // namespace kinema::kernels
