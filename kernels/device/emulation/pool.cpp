#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include "kernels/device/emulation/stream.h"
#include "kernels/device/host_state.h"

namespace kinema::kernels::device::emulation {

namespace {

/// Memory that has been given back, all bits set, and that the host does not have again yet.
struct Given {
  char* data;
  int64_t bytes;
};

struct Pool {
  std::mutex lock;                          ///< of all else
  std::map<void*, int64_t> taken, plain;    ///< bytes of what is in use: of take, of allocate
  int64_t used = 0, held = 0, outside = 0;  ///< bytes: taken, with given; allocated
  std::deque<Given> given;
  int64_t given_bytes = 0;
};
Pool& pool() {
  static Pool& all = *new Pool;  // outlives whatever gives back memory at the end
  return all;
}
using Guard = std::lock_guard<std::mutex>;

/// How much is kept: long enough that what uses memory too late meets NaN, not another's numbers.
constexpr int64_t most_given = 32 << 20;

DeviceMemory state_of(const Pool& p) {
  const int64_t total = settings().memory_bytes;
  return {.used = p.used, .held = p.held, .free = total - p.held - p.outside, .total = total};
}

/// Under the lock. Hands the oldest back to the host until no more than `most` bytes are left.
void hand_back(Pool& p, int64_t most) {
  while (p.given_bytes > most) {
    const Given g = p.given.front();
    p.given.pop_front();
    p.given_bytes -= g.bytes;
    p.held -= g.bytes;
    if (!std::all_of(g.data, g.data + g.bytes, [](char c) { return c == char(0xff); }))
      lose_device("device memory: somebody has written " + std::to_string(g.bytes) +
                  " bytes of memory after it was given back");
    release(g.data);
  }
}

/// Runs in the order of the stream.
void bury(void* memory, int64_t bytes) {
  std::memset(memory, 0xff, size_t(bytes));
  Pool& p = pool();
  const Guard guard(p.lock);
  p.given.push_back({static_cast<char*>(memory), bytes});
  p.given_bytes += bytes;
  hand_back(p, most_given);
}

/// Whatever is counted as in use may be given back before its stream comes to it.
void check_room(const Pool& p, int64_t bytes) {
  if (p.used + p.outside + bytes > settings().memory_bytes) fail_out_of_memory(bytes, state_of(p));
}

/// False, and the device is lost, if the memory is nobody's to give.
bool forget_taken(Pool& p, void* memory, int64_t bytes) {
  const auto found = p.taken.find(memory);
  if (found == p.taken.end() || found->second != bytes) {
    lose_device("give: " + std::to_string(bytes) +
                " bytes are given back that were not taken, or given back before");
    return false;
  }
  p.taken.erase(found);
  p.used -= bytes;
  return true;
}

}  // namespace

void* take(Stream, int64_t bytes) {
  check_device();
  check_no_capture("take");
  Pool& p = pool();
  const Guard guard(p.lock);
  check_room(p, bytes);
  void* memory = emulation::allocate(bytes);
  p.taken[memory] = bytes;
  p.used += bytes;
  p.held += bytes;
  return memory;
}

void give(Stream stream, void* memory, int64_t bytes) {
  after_capture([=] {
    Pool& p = pool();
    {
      const Guard guard(p.lock);
      if (!forget_taken(p, memory, bytes)) return;
    }
    try {
      if (stream.handle && !device_is_lost()) return enqueue(stream, [=] { bury(memory, bytes); });
    } catch (const Error& e) {  // the stream was dropped: who destroys a tensor cannot be told
      return lose_device(e.what());
    }
    const Guard guard(p.lock);
    p.held -= bytes;
    emulation::release(memory);
  });
}

DeviceMemory memory() {
  const Guard guard(pool().lock);
  return state_of(pool());
}

void* allocate_counted(int64_t bytes) {
  check_device();
  check_no_capture("allocate");
  Pool& p = pool();
  const Guard guard(p.lock);
  check_room(p, bytes);
  void* memory = emulation::allocate(bytes);
  p.plain[memory] = bytes;
  p.outside += bytes;
  return memory;
}

void release_counted(void* memory) {
  after_capture([=] {
    run_everything();
    Pool& p = pool();
    const Guard guard(p.lock);
    if (const auto found = p.plain.find(memory); found != p.plain.end()) {
      p.outside -= found->second;
      p.plain.erase(found);
    }
    emulation::release(memory);
  });
}

void* allocate_pinned(int64_t bytes) {
  check_no_capture("allocate_pinned");
  void* memory = std::aligned_alloc(256, size_t(bytes + 255) / 256 * 256);
  check(memory || bytes == 0, "pinned memory: expected ", bytes, " bytes of the host's memory");
  std::memset(memory, 0xff, size_t(bytes));
  add_pinned(memory, bytes);
  return memory;
}

void release_pinned(void* memory) {
  remove_pinned(memory);
  std::free(memory);
}

void check_given_memory() {
  {
    const Guard guard(pool().lock);
    hand_back(pool(), 0);
  }
  check_device();
}

}  // namespace kinema::kernels::device::emulation
