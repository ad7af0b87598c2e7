#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include "kernels/base/view.h"

namespace kinema::kernels {

struct Free {
  void operator()(void* p) const { std::free(p); }
};
/// Memory that one pass works in, given back at its end.
using Scratch = std::unique_ptr<void, Free>;

/// Room for `elements` floats, 64-byte aligned.
inline Scratch scratch(int64_t elements) {
  const size_t bytes = size_t(round_up(std::max<int64_t>(elements, 1) * 4, 64));
  Scratch s(std::aligned_alloc(64, bytes));
  check(s != nullptr, "scratch: could not allocate ", bytes, " bytes to pack a tensor");
  return s;
}

}  // namespace kinema::kernels
