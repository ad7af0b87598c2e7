#pragma once
#include <cstddef>
#include <cstdint>

namespace kinema::kernels::device::emulation {

/// What the vocabulary of kernels/device/ calls in place of instructions. Addresses of shared
/// memory are 32-bit, as on a GPU. Each call notes the line of the kernel that it comes from, for
/// reports.

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct BlockPlace {
  uint3 index;
  dim3 size, grid;
};
/// Where the running thread stands.
struct Place {
  uint3 thread;
  unsigned lane;
  const BlockPlace* block;
};
/// __thread: no wrapper around each access, unlike thread_local.
extern __thread Place* here;

/// Ends the launch with an Error that names kernel, block, thread and the line the call came from.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// A variable in shared memory, one for each `site` and block; NaN when it is first asked for.
void* static_shared(const void* site, size_t bytes, size_t align);
void* dynamic_shared();
/// The address of what lies in shared memory, and back; both refuse what lies outside of it.
uint32_t shared_address(const void* p);
char* shared_pointer(uint32_t address, uint32_t bytes);

/// bar.sync and bar.arrive of `threads` threads; -1: all of the block that still run.
void barrier(int id, int threads, bool wait);

/// Runs `act` once for all lanes of `mask`, when the last of them has arrived: `lanes[l]` is what
/// lane l gave. Lanes meet in the order of the program, or the launch ends with a report.
using Act = void (*)(void* const* lanes, uint32_t mask);
void warp_collective(uint32_t mask, const char* name, void* lane, Act act);
void sync_warp(uint32_t mask);
/// What the thread has stored so far is seen by the whole grid before what it stores from here on.
void thread_fence();

/// Ends the launch if not all blocks of the grid run at once.
void expect_cooperative(const char* name);

/// Lets another thread run: what a loop that waits must call.
void spin();

}  // namespace kinema::kernels::device::emulation
