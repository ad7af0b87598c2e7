#pragma once
#include <array>
#include <deque>
#include <functional>
#include <string>
#include <vector>
#include "kernels/device/emulation/async_calls.h"
#include "kernels/device/emulation/race.h"

namespace kinema::kernels::device::emulation {

/// What runs beside the threads of a unit. Loads and what arrives behind copies are flights: one
/// lands when no thread can go on. What a thread itself waits for (cp.async, stores, wgmma) is done
/// when it waits.

/// `land` is called on behalf of the thread that asked.
struct Flight {
  Fiber* asker;
  uintptr_t caller;
  std::function<void()> land;
};

/// A cp.async.
struct ThreadCopy {
  char* to;
  const void* from;
  size_t bytes, read;  ///< zeros behind those that are read
  int64_t group;
  bool announced;  ///< an mbarrier hears of it: cp_async_arrive
  race::Transfer transfer;
};

/// A bulk store: its source is read into `data`, then `write` puts that into global memory.
struct BulkStore {
  const char* from;
  std::vector<char> data;
  int64_t group;
  bool read;
  race::Transfer transfer;
  std::function<void(const char* data)> write;
};

/// Accumulators of wgmma in flight: the sums so far, while the thread's own registers hold NaN.
struct Accumulators {
  float* registers;
  std::vector<float> sums;
};
struct ThreadMma {
  size_t accumulators;  ///< index
  uint32_t a[4];
};

struct ThreadState {
  std::vector<ThreadCopy> copies;
  std::vector<BulkStore> stores;
  std::vector<ThreadMma> mmas;
  std::vector<Accumulators> accumulators;
  int64_t copies_done = 0;
  int64_t copy_groups = 0, store_groups = 0, mma_groups = 0;  ///< committed so far
  bool mma_fenced = false;
  bool at_cluster_barrier = false;    ///< has arrived and not waited
  uint32_t cluster_phase = 0;         ///< in which it arrived
  uint32_t mbarrier = 0, parity = 0;  ///< that it waits for
};

/// The state of an mbarrier. `word` is what its memory holds, to see that nothing else writes
/// there.
struct Mbarrier {
  uint32_t address;
  uint32_t count, pending;
  int64_t bytes = 0;  ///< expected and not yet come
  uint32_t phase = 0;
  uint64_t word = 0;
  const Fiber* maker;
  bool announced = false;                ///< the maker has executed a fence behind its init
  race::Clock arriving = {}, over = {};  ///< what comes before the present phase ends; the last
  std::vector<Fiber*> waiting = {};
};

/// A wgmma that at least one thread of the warpgroup has issued.
struct SharedMma {
  WarpgroupMma what;  ///< without the pointers
  int64_t group;
  std::vector<uint32_t> a, b;  ///< addresses of the operands' 16-byte chunks
  std::vector<race::Transfer> reads;
};
struct Warpgroup {
  std::deque<SharedMma> mmas;
  int arrived = 0;  ///< in wgmma_wait
  int groups = 0;   ///< that they leave running
  race::Transfer last_read;
};

struct ClusterBarrier {
  int arrived = 0;
  uint32_t phase = 0;
  race::Clock arriving, over;
  std::vector<Fiber*> waiting;
};

struct BlockState {
  std::deque<Mbarrier> mbarriers;
  std::array<Warpgroup, 8> warpgroups;
  ClusterBarrier cluster;  ///< of the first block of a cluster
  int64_t free_registers = 0;
  std::vector<int> registers;  ///< a thread, by warp
  std::vector<Fiber*> waiting_for_registers;
};

struct InFlight {
  std::deque<Flight> flights;
  std::vector<ThreadState> threads;
  std::vector<BlockState> blocks;
};

/// Of the running unit, of a thread and of a block of it.
InFlight& begin_in_flight();
inline InFlight& in_flight() { return worker->in_flight ? *worker->in_flight : begin_in_flight(); }
inline ThreadState& state_of(const Fiber& f) {
  return in_flight().threads[size_t(&f - worker->fibers.data())];
}
inline ThreadState& my_state() { return state_of(*current()); }
inline BlockState& state_of(const Block& b) { return in_flight().blocks[size_t(b.rank)]; }

/// Begins something for the running thread.
void take_off(std::function<void()> land);

/// A number of its own for everything that reads or writes shared memory beside the threads:
/// see race::start.
enum class Agent : uint64_t { copies, stores, mbarrier, warpgroup };
inline uint64_t agent_key(Agent kind, uint64_t block, uint64_t number) {
  return uint64_t(kind) << 56 | block << 32 | number;
}
inline uint64_t agent_key(Agent kind, const Fiber& f) {
  return agent_key(kind, uint64_t(f.home->rank), f.number);
}

/// Ends the launch unless an asynchronous copy may read or write these bytes of global memory.
void check_copied(const void* p, size_t bytes, race::Kind);

/// The block that an address of shared memory belongs to, and the address within it.
Block& block_at(uint32_t address);
inline uint32_t local(uint32_t address) { return address & 0xffffff; }

// mbarrier.cpp
/// Ends the launch if there is none.
Mbarrier& mbarrier_at(Block&, uint32_t address, const char* name);
/// The same for copies and other blocks, which learn of an mbarrier by a fence of its maker.
Mbarrier& announced_mbarrier_at(Block&, uint32_t address, const char* name);
/// `arrivals` come, and `bytes` more are expected, or less.
void update(Mbarrier&, Block&, uint32_t arrivals, int64_t bytes);
/// What the thread waits for, for reports.
std::string describe_mbarrier(const Fiber&);

// Checks at the end of a thread.
void check_copies_done(const ThreadState&);
void finish_stores(ThreadState&);
void check_mmas_done(const ThreadState&);
void leave_cluster();

}  // namespace kinema::kernels::device::emulation
