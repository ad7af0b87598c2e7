#pragma once
#include "kernels/base/scratch.h"
#include "kernels/copy/copy.h"

namespace kinema::kernels {

/// A view in f32: itself where it is f32 (or not given), else a copy in memory of its own, laid out
/// as a fresh tensor. For passes of the cpu backend that compute in f32 alone.
class InF32 {
 public:
  enum Content { load, leave };  ///< copy the values, or leave them unset: a result

  InF32(const View& from, Content content) : view(from) {
    if (!from || from.dtype == Dtype::f32) return;
    view = fresh_layout(Dtype::f32, from.shape);
    const int64_t rows = view.shape.size() ? view.shape[0] * view.stride(0) : 0;
    own_ = scratch(std::max(rows, span(view)));
    view.data = own_.get();
    if (content == load) copy_cpu.forward({}, from, view, false);
  }
  /// Rounds a result to where it belongs, or adds it there.
  void store(const View& to, bool accumulate = false) const {
    if (view.data != to.data) copy_cpu.forward({}, view, to, accumulate);
  }

  View view;

 private:
  Scratch own_;
};

}  // namespace kinema::kernels
