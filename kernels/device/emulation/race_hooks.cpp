#include "kernels/device/emulation/race.h"

// The functions that -fsanitize=thread makes the compiler call around each access to memory. That
// library itself is not linked.
#ifdef KINEMA_WATCH_RACES

using kinema::kernels::device::emulation::race::access;
using kinema::kernels::device::emulation::race::after_atomic;
using kinema::kernels::device::emulation::race::Kind;

#define CALLER reinterpret_cast<uintptr_t>(__builtin_return_address(0))

#define WATCH(bytes)                                                                         \
  void __tsan_read##bytes(const void* p) { access(p, bytes, Kind::read, CALLER); }           \
  void __tsan_write##bytes(const void* p) { access(p, bytes, Kind::write, CALLER); }         \
  void __tsan_unaligned_read##bytes(const void* p) { access(p, bytes, Kind::read, CALLER); } \
  void __tsan_unaligned_write##bytes(const void* p) { access(p, bytes, Kind::write, CALLER); }

/// Runs an atomic of v's type on p, as the detector wants it.
template <class T, class F>
T atomic(const volatile T* p, uintptr_t caller, F operation) {
  const void* address = const_cast<const T*>(p);
  access(address, sizeof(T), Kind::atomic, caller);
  const T result = operation();
  after_atomic(address);
  return result;
}

// At least as strong as what they stand for.
#define WATCH_ATOMIC(bits, T)                                                                \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                   \
    return atomic(p, CALLER, [=] { return __atomic_load_n(p, __ATOMIC_SEQ_CST); });          \
  }                                                                                          \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                                \
    return atomic(p, CALLER, [=] { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); });   \
  }                                                                                          \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                               \
    return atomic(p, CALLER, [=] { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); });    \
  }                                                                                          \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* old, T v, int, int) { \
    const T wanted = *old;                                                                   \
    *old = atomic(p, CALLER, [=] { return __sync_val_compare_and_swap(p, wanted, v); });     \
    return *old == wanted;                                                                   \
  }

extern "C" {
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)
WATCH_ATOMIC(8, uint8_t)
WATCH_ATOMIC(32, uint32_t)
WATCH_ATOMIC(64, uint64_t)
void __tsan_read_range(const void* p, size_t n) { access(p, n, Kind::read, CALLER); }
void __tsan_write_range(const void* p, size_t n) { access(p, n, Kind::write, CALLER); }
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}

#endif
