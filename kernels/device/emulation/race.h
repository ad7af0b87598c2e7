#pragma once
#include <atomic>
#include <mutex>
#include <unordered_map>
#include "kernels/device/emulation/runtime.h"

namespace kinema::kernels::device::emulation::race {

/// Finds accesses to shared memory that no barrier orders, whatever order they happened in, by the
/// happens-before relation: each thread has a clock of what it has seen of every other's time, and
/// each word of shared memory the accesses that later ones must come after.
/// Source: Lamport, CACM 1978; FastTrack, Flanagan and Freund, PLDI 2009.
///
/// Threads see each other's past by barriers and __syncwarp, not by shuffles and votes, which order
/// no memory. What runs beside the threads, copies in flight and tensor cores, are agents: no
/// barrier of threads waits for them. All of it is nothing where `on` is false.
#ifdef KINEMA_WATCH_RACES
inline constexpr bool on = true;
#else
inline constexpr bool on = false;
#endif

/// Atomics conflict with reads and writes, but not with each other.
enum class Kind : uint8_t { read, write, atomic };

/// What somebody has seen: times of threads, since the last barrier of all, and of agents.
struct Clock {
  uint32_t era = 0, time = 1;
  std::vector<uint32_t> threads, agents;
};

/// What the blocks of one launch know of each other. Accesses of different blocks to the same bytes
/// of global memory are races unless an atomic of the one after its __threadfence(), and one of the
/// other on the same word before, stand between: as in is_last_block() and grid_sync(). Found are
/// those that a word's last write and first read since tell; no right kernel is reported.
struct Grid {
  uint64_t serial = 0;
  std::atomic<bool> watched = false;
  std::mutex lock;
  std::unordered_map<const void*, std::vector<uint32_t>> released;  ///< times of teams, by address

  explicit Grid(const Launch&);
};

void begin_unit();

/// What each of `all` has done so far comes before what each of `waiting` does from here on.
void join(const std::vector<Fiber*>& all, const std::vector<Fiber*>& waiting);
void join_warp(Warp&, uint32_t mask);
/// Half of it, as an mbarrier does: the running thread's past goes into `to`; and what lies in
/// `from` comes before what the running thread does from here on.
void give(Clock& to);
void take(const Clock& from);

/// An access of the running thread, to memory of any kind; `code` is the kernel's code that makes
/// it. Accesses to global memory are counted, and held to the bounds of allocate().
void access(const void* p, size_t bytes, Kind kind, uintptr_t code);
/// Behind an atomic, whose access() stands before it: what others released there is seen.
void after_atomic(const void* p);
/// __threadfence of the running thread.
void fence();
/// Memory of allocate() that is no more.
void forget(const void* p, size_t bytes);
/// The same for the runtime, on behalf of the instruction that called it.
inline void access(const void* p, size_t bytes, Kind kind) {
  if (on) access(p, bytes, kind, current()->caller);
}

/// An access to shared memory by an agent, one of each key: in flight from start() to finish() or
/// settle(). Accesses of threads that come meanwhile are races, and so are those after finish() by
/// threads that have not seen it. Starting it is an access of the running thread.
struct Transfer {
  int agent = 0;
  uint32_t time = 0;  ///< of the agent
  const void* memory = nullptr;
  size_t bytes = 0;
  Kind kind = Kind::read;
};
/// `async_proxy`: a read that sees writes of threads only behind their fence.proxy.async.
Transfer start(uint64_t agent_key, const void* p, size_t bytes, Kind kind, bool async_proxy);
void finish(const Transfer&);
/// Finishes it as an access of the running thread: a copy that this thread has waited for.
void settle(const Transfer&);
/// A finished transfer, and those of its agent before it, for whoever takes `to`; and for the
/// running thread.
void give(const Transfer&, Clock& to);
void take(const Transfer&);

/// fence.proxy.async of the running thread.
void fence_proxy();

}  // namespace kinema::kernels::device::emulation::race
