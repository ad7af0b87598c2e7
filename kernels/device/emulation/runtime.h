#pragma once
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include "kernels/device/emulation/emulation.h"

namespace kinema::kernels::device::emulation {

/// The inside of the emulation. A worker, one thread of the host, runs one unit at a time: a block,
/// a cluster, or the whole grid of a cooperative launch. Each CUDA thread of the unit is a fiber.

struct Warp;
struct Block;
namespace race {
struct Grid;
}
struct InFlight;

/// One CUDA thread.
struct Fiber : Place {
  void* stack_pointer = nullptr;
  char* stack = nullptr;  ///< none before it begins
  size_t stack_bytes = 0;
  Warp* warp = nullptr;
  Block* home = nullptr;
  unsigned number = 0;  ///< in the block
  bool done = false;
  uint16_t arrived_at = 0;          ///< barriers of the block that are not full, as bits
  const char* waits_for = nullptr;  ///< what it was parked in last
  uintptr_t caller = 0;             ///< the kernel's code that called the vocabulary last
};

/// A warp operation that some lanes have reached and others have not.
struct Meeting {
  uint32_t mask = 0, arrived = 0;
  const char* name = nullptr;
  void* lanes[32] = {};
};

struct Warp {
  uint32_t ready = 0;  ///< lanes that could run, as bits
  uint32_t live = 0;   ///< lanes that have not returned
  uint32_t priority = 0;
  Fiber* lane[32] = {};
  Meeting meeting[4];  ///< of disjoint masks
};

struct Barrier {
  int arrived = 0, expected = 0;
  uintptr_t caller = 0;              ///< of the first to come
  std::vector<Fiber*> waiting, all;  ///< those that wait; all that have come
};

struct Block {
  BlockPlace place{};
  int rank = 0;  ///< in its cluster
  int threads = 0, live = 0;
  char* arena = nullptr;     ///< shared memory: dynamic from first_shared on, static behind it
  size_t dynamic_bytes = 0;  ///< as the launch asked
  size_t static_bytes = 0;
  size_t top = 0;                                     ///< end of what is in use
  std::vector<std::pair<const void*, size_t>> sites;  ///< where each static variable lies
  std::array<Barrier, 16> barriers;
};

/// Address of the first byte of shared memory, of which a GPU promises no more than that it lies on
/// a multiple of 16: static variables may lie before it.
constexpr size_t first_shared = 1024 + 16;
/// Shared memory that a block of the emulation may use in all: more than any GPU has, so that what
/// a GPU refuses is refused by launch() with its own sentence.
constexpr size_t arena_bytes = 256 * 1024;

struct Worker {
  void* stack_pointer = nullptr;  ///< of the host's thread, while fibers run
  const void* stack_bottom = nullptr;
  size_t stack_bytes = 0;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<Block> blocks;
  int fiber_count = 0, warp_count = 0, live = 0, current_warp = 0;
  char* stacks = nullptr;
  int stack_count = 0, stacks_begun = 0;
  std::vector<char*> free_stacks;  ///< among those begun
  char* arenas = nullptr;          ///< shared memory of the unit's blocks, side by side
  int arena_count = 0;
  uint64_t random_state = 1;
  Settings settings;
  const Launch* launch = nullptr;
  race::Grid* grid = nullptr;           ///< of the launch
  int64_t unit = 0;                     ///< its number in the launch
  std::vector<Fiber*> idle;             ///< that loop until something changes
  int idle_rounds = 0;                  ///< since a thread did something else
  std::shared_ptr<InFlight> in_flight;  ///< nothing before the unit's first asynchronous operation
  std::string error;
  Launches tally;

  Worker() = default;
  Worker(const Worker&) = delete;
  ~Worker();
};
extern __thread Worker* worker;
inline Fiber* current() { return static_cast<Fiber*>(const_cast<Place*>(here)); }

// report.cpp
/// Where in the kernel the caller of the function that says this was called. The vocabulary is
/// inlined, so this is a line of the kernel or of a wrapper within it.
#define EMULATION_NOTE_CALLER() \
  (current()->caller = reinterpret_cast<uintptr_t>(__builtin_return_address(0)))

/// "file.cu:12" of an address of code, or "?"; the innermost line outside of kernels/device/.
const char* source_line(uintptr_t code);
/// True if both addresses are of one line, within the same functions that are inlined there.
bool same_line(uintptr_t a, uintptr_t b);
/// "block (0,0,0) thread (3,0,0)".
std::string place_of(const Fiber&);
/// Behind what a sanitizer says before it ends the program, says which kernel and thread ran.
void announce_at_death();

// memory.cpp
/// Ends the launch unless all of the bytes lie in memory of allocate(), or none: for pointers into
/// its range, where it has one of its own (range_begin, range_bytes), as under the race detector.
void check_global(const void* p, size_t bytes);
extern uintptr_t range_begin;
/// Zeros, which take memory page by page when they are first touched.
void* reserve_memory(size_t bytes);
constexpr size_t range_bytes = size_t(1) << 38;

// fiber.cpp
/// Room for `count` fibers of the worker.
void reserve_stacks(Worker&, int count);
/// All of them are free: before the first unit, and behind each.
void reset_stacks(Worker&);
/// Makes the stack of the running fiber, which has ended, that of one that has not begun, and runs
/// it from here on.
void take_over(Fiber&);
/// Leaves the running fiber, or the host's thread, for `to`; nullptr is the host's thread.
void switch_to(Fiber* to, bool for_good);

// scheduler.cpp
uint64_t random_word();
/// Begins to run fibers on the host's thread; returns when all are done or one has failed.
void run_fibers();
void wake(Fiber*);
/// Parks the running fiber until somebody wakes it.
void park(const char* waits_for);
/// Parks a fiber that looks again and again, until no other can go on.
void park_idle(const char* waits_for);
/// Lets others run first where the schedule wants that.
void may_preempt();
/// Called by a fiber whose kernel has returned; returns as another that has not begun.
void finish();

// warp.cpp
constexpr uint32_t whole_warp = 0xffffffffu;
/// warp_collective for the runtime: keeps the caller that has been noted.
void meet(uint32_t mask, const char* name, void* lane, Act act);

// in_flight.cpp
/// Completes one asynchronous operation; false if there is none.
bool land_one();
/// Ends the launch where a thread that has returned leaves something in flight.
void leave_flights();
/// More of what f waits for, for reports; "" if there is no more.
std::string describe_wait(const Fiber& f);

// block.cpp
/// Room for shared memory of `count` blocks.
void reserve_arenas(Worker&, int count);
void release_arenas(Worker&);
void begin_block(Block&, const Launch&, uint3 index, int rank);
/// A thread of the block has returned: barriers of the whole block expect one less.
void leave_block(Block&);

}  // namespace kinema::kernels::device::emulation
