#pragma once
#include "kernels/base/view.h"

namespace kinema::kernels {

/// Throws Error unless `v` is `count` numbers of type `dtype`, side by side: what changes from one
/// run of a pass to the next lies in memory of the device that runs it, so that nobody waits for
/// it, and a graph of launches may be run again.
inline void check_number(const char* op, const char* name, const View& v, Dtype dtype,
                         int64_t count = 1) {
  check(v && v.dtype == dtype && v.shape == Shape{count}, op, ": ", name, " must be ", dtype, " ",
        Shape{count}, ", got ", v.dtype, " ", v.shape);
}

}  // namespace kinema::kernels
