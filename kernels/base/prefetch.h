#pragma once
#include <atomic>
#include <cstdint>

namespace kinema::kernels {

/// Asks for `count` elements that are wanted soon: processors do not foresee streams of several
/// rows by themselves.
template <class T>
void prefetch(const T* from, int64_t count) {
  constexpr int64_t line = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += line) __builtin_prefetch(from + i);
  // Without an effect that it knows, GCC 12 drops calls of a function that only prefetches.
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace kinema::kernels
