#pragma once
#include "kernels/base/view.h"
#include "kernels/copy/copy.h"

namespace kinema::kernels::cudnn {

/// Zeroes the lanes behind the rows of what a library has written without them.
inline void zero_lanes(Stream stream, const View& y) {
  if (!y.tail || !y.size()) return;
  View lanes = y;
  lanes.data = static_cast<char*>(y.data) + y.shape[-1] * size_of(y.dtype);
  lanes.shape[-1] = y.tail;
  lanes.tail = 0;
  copy_cuda.fill(stream, lanes, 0);
}

/// The same rows with their zero lanes as channels.
inline View widened(View v) {
  v.shape[-1] += v.tail;
  v.tail = 0;
  return v;
}

/// True if all elements lie side by side. Axes of size 1 may have any stride.
inline bool is_dense(const View& v) {
  int64_t expected = 1;
  for (int a = v.shape.rank - 1; a >= 0; --a) {
    if (v.shape[a] > 1 && v.stride(a) != expected) return false;
    expected *= v.shape[a];
  }
  return true;
}

}  // namespace kinema::kernels::cudnn
