#include <sys/mman.h>
#include <algorithm>
#include <cstring>
#include <new>
#include "kernels/device/emulation/race.h"
#include "kernels/device/emulation/runtime.h"
#ifdef KINEMA_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace kinema::kernels::device::emulation {

namespace {

/// Between variables, so that ASan sees the end of each.
constexpr size_t red_zone = 32;

[[maybe_unused]] void allow(const char* p, size_t bytes) {
#ifdef KINEMA_ASAN
  __asan_unpoison_memory_region(p, bytes);
#else
  (void)p, (void)bytes;
#endif
}

/// Lets all go on that wait at b, where enough have come.
void open_if_full(Barrier& b, int id, int needed) {
  if (b.arrived < needed) return;
  for (Fiber* f : b.all) f->arrived_at &= uint16_t(~(1u << id));
  race::join(b.all, b.waiting);
  for (Fiber* f : b.waiting)
    if (f != current()) wake(f);
  b = {};
}

}  // namespace

void release_arenas(Worker& w) {
  if (!w.arenas) return;
  allow(w.arenas, size_t(w.arena_count) * arena_bytes);  // what ASan knows of it outlives munmap
  munmap(w.arenas, size_t(w.arena_count) * arena_bytes);
  w.arenas = nullptr;
}

void reserve_arenas(Worker& w, int count) {
  if (w.arena_count >= count) return;
  release_arenas(w);
  void* memory = mmap(nullptr, size_t(count) * arena_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  w.arenas = static_cast<char*>(memory);
  w.arena_count = count;
}

void begin_block(Block& b, const Launch& l, uint3 index, int rank) {
  char* arena = worker->arenas + size_t(rank) * arena_bytes;
  b.place = {index, l.block, l.grid};
  b.rank = rank;
  b.threads = b.live = int(l.block.x * l.block.y * l.block.z);
  b.arena = arena;
  b.dynamic_bytes = size_t(l.shared_bytes);
  b.top = first_shared + b.dynamic_bytes;
  b.static_bytes = 0;
  b.sites.clear();
  b.barriers = {};
#ifdef KINEMA_ASAN
  __asan_poison_memory_region(arena, arena_bytes);
#endif
  allow(arena + first_shared, b.dynamic_bytes);
  std::memset(arena + first_shared, 0xff, b.dynamic_bytes);
}

void leave_block(Block& b) {
  --b.live;
  Barrier& all = b.barriers[0];
  if (all.arrived && all.expected < 0) open_if_full(all, 0, b.live);
}

void barrier(int id, int threads, bool wait) {
  EMULATION_NOTE_CALLER();
  Fiber* me = current();
  const bool whole = threads < 0;
  if (id < 0 || id > 15) fail("barrier: the number must be from 0 to 15, got %d", id);
  if (!whole && (threads % 32 || threads < 32 || threads > me->home->threads))
    fail("barrier %d: the count must be a multiple of 32 up to the block's %d threads, got %d", id,
         me->home->threads, threads);
  Barrier& b = me->home->barriers[size_t(id)];
  if (b.arrived && b.expected != threads)
    fail("barrier %d: expected %d threads as those before, got %d", id, b.expected, threads);
  if (me->arrived_at >> id & 1)
    fail("barrier %d: this thread has arrived already, and others are missing", id);
  me->arrived_at |= uint16_t(1u << id);
  if (!b.arrived) b.caller = me->caller;
  if (race::on && whole && !same_line(b.caller, me->caller))
    fail("__syncthreads, while others of the block wait in the one at %s", source_line(b.caller));
  b.expected = threads;
  ++b.arrived;
  b.all.push_back(me);
  if (wait) b.waiting.push_back(me);
  const int needed = whole ? me->home->live : threads;
  if (b.arrived >= needed) {
    open_if_full(b, id, needed);
    may_preempt();
  } else if (wait) {
    park(whole ? "__syncthreads" : "barrier_sync");
  }
}

void expect_cooperative(const char* name) {
  EMULATION_NOTE_CALLER();
  if (!worker->launch->cooperative) fail("%s: the launch is not cooperative", name);
}

void* dynamic_shared() { return current()->home->arena + first_shared; }

void* static_shared(const void* site, size_t bytes, size_t align) {
  Block& b = *current()->home;
  for (const auto& [known, offset] : b.sites)
    if (known == site) return b.arena + offset;
  EMULATION_NOTE_CALLER();
  align = std::max(align, red_zone);  // ASan sees the end of what begins at a multiple of 8
  const size_t offset = (b.top + red_zone + align - 1) / align * align;
  const auto most = size_t(worker->settings.gpu.shared_per_block);
  b.static_bytes += bytes;
  if (b.dynamic_bytes + b.static_bytes > most || offset + bytes + red_zone > arena_bytes)
    fail("shared memory: expected at most %zu bytes on %s, got %zu and %zu of the launch", most,
         worker->settings.gpu.name, b.static_bytes, b.dynamic_bytes);
  allow(b.arena + offset, bytes);
  std::memset(b.arena + offset, 0xff, bytes);
  b.sites.emplace_back(site, offset);
  b.top = offset + bytes;
  return b.arena + offset;
}

uint32_t shared_address(const void* p) {
  EMULATION_NOTE_CALLER();
  const char* byte = static_cast<const char*>(p);
  for (const Block& b : worker->blocks) {
    if (byte < b.arena || byte >= b.arena + arena_bytes) continue;
    const uint32_t cluster = &b == current()->home ? 0 : uint32_t(b.rank + 1) << 24;
    return uint32_t(byte - b.arena) | cluster;
  }
  fail("the pointer %p does not lie in shared memory", p);
}

char* shared_pointer(uint32_t address, uint32_t bytes) {
  Block* b = current()->home;
  const uint32_t rank = address >> 24, offset = address & 0xffffff;
  if (rank > worker->blocks.size()) fail("shared memory: the cluster has no block %u", rank - 1);
  if (rank) b = &worker->blocks[rank - 1];
  const size_t dynamic_end = first_shared + b->dynamic_bytes, end = size_t(offset) + bytes;
  const bool inside =
      (offset >= first_shared && end <= dynamic_end) || (offset >= dynamic_end && end <= b->top);
  if (!inside)
    fail("shared memory: %u bytes at address %u lie outside of the %zu dynamic and %zu other bytes",
         bytes, offset, b->dynamic_bytes, b->top - dynamic_end);
  return b->arena + offset;
}

}  // namespace kinema::kernels::device::emulation
