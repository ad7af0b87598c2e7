#include <sys/mman.h>
#include <cstdio>
#include <new>
#include <utility>
#include "kernels/device/emulation/runtime.h"
#ifdef KINEMA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace kinema::kernels::device::emulation {

__thread Place* here = nullptr;
__thread Worker* worker = nullptr;

namespace {

#ifdef KINEMA_ASAN
constexpr size_t stack_bytes = 256 * 1024;
#else
constexpr size_t stack_bytes = 64 * 1024;
#endif
/// Not a power of two: the hot ends of the stacks must not meet in the same sets of the cache
/// (measured: 10 against 37 ns a switch with 1024 fibers).
constexpr size_t stack_stride = stack_bytes + 4096 + 320;

void release_stacks(Worker& w) {
  if (!w.stacks) return;
  const size_t bytes = stack_stride * size_t(w.stack_count);
#ifdef KINEMA_ASAN
  __asan_unpoison_memory_region(w.stacks, bytes);  // what ASan knows of it outlives munmap
#endif
  munmap(w.stacks, bytes);
  w.stacks = nullptr;
}

}  // namespace

#if defined(__x86_64__)

extern "C" void kinema_switch_stack(void** save, void* to);
// Saves what a call must keep on the stack that is left, and takes it from the other.
asm(R"(
.text
.globl kinema_switch_stack
.hidden kinema_switch_stack
.type kinema_switch_stack,@function
.p2align 4
kinema_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kinema_switch_stack,.-kinema_switch_stack
)");

#else
#error "the emulation switches stacks on x86-64 alone"
#endif

extern "C" void kinema_start_fiber() {
#ifdef KINEMA_ASAN
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (!worker->stack_bottom) {
    worker->stack_bottom = bottom;
    worker->stack_bytes = bytes;
  }
#endif
  for (;;) {  // thread after thread, as long as each comes to its end without a wait
    char thrown[400];
    thrown[0] = 0;
    try {
      worker->launch->run(worker->launch->context);
    } catch (const std::exception& e) {
      std::snprintf(thrown, sizeof thrown, "%s", e.what());
    }
    if (*thrown) fail("the kernel threw: %s", thrown);
    finish();
  }
}

Worker::~Worker() {
  release_stacks(*this);
  release_arenas(*this);
}

void reserve_stacks(Worker& w, int count) {
  if (w.stack_count >= count) return;
  release_stacks(w);
  void* memory = mmap(nullptr, stack_stride * size_t(count), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  w.stacks = static_cast<char*>(memory);
  w.stack_count = count;
}

void reset_stacks(Worker& w) {
#ifdef KINEMA_ASAN
  // Fibers that an error has stopped leave their frames behind.
  if (!w.error.empty())
    __asan_unpoison_memory_region(w.stacks, stack_stride * size_t(w.stacks_begun));
#endif
  w.stacks_begun = 0;
  w.free_stacks.clear();
}

void take_over(Fiber& to) {
  Fiber& from = *current();
  to.stack = std::exchange(from.stack, nullptr);
  to.stack_bytes = from.stack_bytes;
  here = &to;
}

namespace {

/// Gives f a stack on which it will start at the beginning of the kernel.
void prepare(Fiber& f) {
  Worker& w = *worker;
  if (w.free_stacks.empty()) {
    f.stack = w.stacks + stack_stride * size_t(w.stacks_begun++);
  } else {
    f.stack = w.free_stacks.back();
    w.free_stacks.pop_back();
  }
  f.stack_bytes = stack_stride & ~size_t(15);
  // As if kinema_switch_stack had been called from in front of kinema_start_fiber.
  const auto top = (reinterpret_cast<uintptr_t>(f.stack) + f.stack_bytes) & ~uintptr_t(15);
  void** frame = reinterpret_cast<void**>(top) - 8;
  for (int i = 0; i < 6; ++i) frame[i] = nullptr;
  frame[6] = reinterpret_cast<void*>(&kinema_start_fiber);
  frame[7] = nullptr;
  f.stack_pointer = frame;
}

}  // namespace

void switch_to(Fiber* to, bool for_good) {
  Fiber* from = current();
  void** save = from ? &from->stack_pointer : &worker->stack_pointer;
  if (to && !to->stack) prepare(*to);
  if (from && for_good) worker->free_stacks.push_back(from->stack);
  here = to;
#ifdef KINEMA_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack,
                                 to ? to->stack : worker->stack_bottom,
                                 to ? to->stack_bytes : worker->stack_bytes);
#endif
  kinema_switch_stack(save, to ? to->stack_pointer : worker->stack_pointer);
#ifdef KINEMA_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

}  // namespace kinema::kernels::device::emulation
