#include "kernels/device/emulation/race.h"

// The functions that -fsanitize=thread makes the compiler call around each access to memory; that
// library itself is not linked.
#ifdef KINEMA_WATCH_RACES

namespace kinema::kernels::device::emulation::race {

void begin_unit() {}
void end_unit() {}
void join(const std::vector<Fiber*>&, const std::vector<Fiber*>&) {}
void join_warp(Warp&, uint32_t) {}

}  // namespace kinema::kernels::device::emulation::race

extern "C" {
#define WATCH(bytes)                          \
  void __tsan_read##bytes(void*) {}           \
  void __tsan_write##bytes(void*) {}          \
  void __tsan_unaligned_read##bytes(void*) {} \
  void __tsan_unaligned_write##bytes(void*) {}
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)
void __tsan_read_range(void*, size_t) {}
void __tsan_write_range(void*, size_t) {}
#define ATOMIC(bits, T)                                                                       \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                    \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                              \
  }                                                                                           \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                                 \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                       \
  }                                                                                           \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                                \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                        \
  }                                                                                           \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* old, T v, int, int) {  \
    return __atomic_compare_exchange_n(p, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
ATOMIC(32, int32_t)
ATOMIC(64, int64_t)
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}

#endif
