#pragma once
#include <algorithm>
#include "kernels/base/view.h"

namespace kinema::kernels {

/// The narrow copy of f32 weights that an optimiser writes in the pass that moves them, piece by
/// piece. Nothing happens where the View is not given.
class WorkingCopy {
 public:
  explicit WorkingCopy(const View& v) : view_(v), offset_(v) {}

  /// Rounds `from` to elements [first, first + count) of row `row`; behind the last of a row come
  /// its zero lanes.
  void write(const float* from, int64_t row, int64_t first, int64_t count) const {
    if (!view_) return;
    dispatch_activation("working copy", view_.dtype, [&]<class T>(T) {
      T* to = data<T>(view_) + offset_(row) + first;
      for (int64_t i = 0; i < count; ++i) to[i] = T(from[i]);
      if (first + count == view_.shape[-1]) std::fill_n(to + count, view_.tail, T(0));
    });
  }

 private:
  View view_;
  RowOffsets offset_;
};

/// Calls f with a zero of the type of a working copy; of bf16 where it is not given.
template <class F>
decltype(auto) dispatch_narrow(const View& working, F&& f) {
  return working && working.dtype == Dtype::f16 ? f(f16{}) : f(bf16{});
}

/// Throws Error unless `working` can hold w, rounded.
inline void check_working_copy(const char* op, const View& w, const View& working) {
  if (!working) return;
  check(w.dtype == Dtype::f32 && is_narrow(working.dtype), op,
        ": a working copy is bf16 or f16 beside f32 weights, got ", working.dtype, " beside ",
        w.dtype);
  check(working.shape == w.shape, op, ": the working copy must be ", w.shape, ", got ",
        working.shape);
}

}  // namespace kinema::kernels
