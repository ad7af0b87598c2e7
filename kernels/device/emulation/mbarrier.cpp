#include <cstring>
#include "kernels/device/emulation/in_flight.h"

namespace kinema::kernels::device::emulation {

namespace {

/// The largest counts of arrivals and of bytes: PTX ISA, 9.7.13.15.1.
constexpr int64_t limit = (1 << 20) - 1;

/// Puts m's state into its memory, as 20 + 20 + 21 bits and the phase.
void store(Mbarrier& m, const Block& b) {
  m.word = uint64_t(m.pending) | uint64_t(m.count) << 20 |
           uint64_t(m.bytes & (2 * limit + 1)) << 40 | uint64_t(m.phase & 1) << 61;
  std::memcpy(b.arena + m.address, &m.word, sizeof m.word);
}

Mbarrier* find(Block& b, uint32_t address) {
  if (!worker->in_flight) return nullptr;
  for (Mbarrier& m : state_of(b).mbarriers)
    if (m.address == local(address)) return &m;
  return nullptr;
}

/// The memory of an mbarrier of this block.
char* own_memory(uint32_t address, const char* name) {
  if (address % 8) fail("%s: expected an address on a multiple of 8 bytes, got %u", name, address);
  if (address >> 24) fail("%s: expected an mbarrier of this block, got one of another", name);
  return shared_pointer(address, 8);
}

bool over(const Mbarrier& m, uint32_t parity) { return (m.phase & 1) != (parity & 1); }

void announce_mine() {
  if (!worker->in_flight) return;
  for (Mbarrier& m : state_of(*current()->home).mbarriers)
    if (m.maker == current()) m.announced = true;
}

}  // namespace

Mbarrier& mbarrier_at(Block& b, uint32_t address, const char* name) {
  Mbarrier* m = find(b, address);
  if (!m)
    fail("%s: there is no mbarrier at %u: mbarrier_init has not been called, or not been seen yet",
         name, local(address));
  race::access(b.arena + m->address, 8, race::Kind::atomic);
  if (std::memcmp(b.arena + m->address, &m->word, 8) != 0)
    fail("%s: something has written over the mbarrier at %u", name, m->address);
  return *m;
}

Mbarrier& announced_mbarrier_at(Block& b, uint32_t address, const char* name) {
  Mbarrier& m = mbarrier_at(b, address, name);
  if (!m.announced)
    fail("%s: the mbarrier at %u has been made without fence_mbarrier_init() behind it", name,
         m.address);
  return m;
}

void update(Mbarrier& m, Block& b, uint32_t arrivals, int64_t bytes) {
  if (arrivals > m.pending)
    fail("mbarrier: more arrivals at %u in one phase than the %u that it was made for", m.address,
         m.count);
  m.pending -= arrivals;
  m.bytes += bytes;
  if (m.bytes > limit || m.bytes < -limit)
    fail("mbarrier: %lld bytes are more than the 2^20-1 that one at %u may expect",
         static_cast<long long>(m.bytes), m.address);
  if (m.pending == 0 && m.bytes == 0) {
    ++m.phase;
    m.pending = m.count;
    m.over = m.arriving;
    for (Fiber* f : m.waiting) wake(f);
    m.waiting.clear();
  }
  store(m, b);
}

void mbarrier_init(uint32_t mbarrier, uint32_t count) {
  EMULATION_NOTE_CALLER();
  char* memory = own_memory(mbarrier, "mbarrier_init");
  if (count < 1 || count > limit)
    fail("mbarrier_init: expected a count from 1 to 2^20-1, got %u", count);
  Block& home = *current()->home;
  if (find(home, mbarrier))
    fail("mbarrier_init: there is one at %u already, which mbarrier_invalidate must end first",
         mbarrier);
  race::access(memory, 8, race::Kind::write);
  auto& all = state_of(home).mbarriers;
  all.push_back({.address = mbarrier, .count = count, .pending = count, .maker = current()});
  store(all.back(), home);
}

void mbarrier_invalidate(uint32_t mbarrier) {
  EMULATION_NOTE_CALLER();
  char* memory = own_memory(mbarrier, "mbarrier_invalidate");
  Block& home = *current()->home;
  Mbarrier& m = mbarrier_at(home, mbarrier, "mbarrier_invalidate");
  if (!m.waiting.empty() || m.bytes)
    fail("mbarrier_invalidate: %zu threads and %lld bytes are still on their way", m.waiting.size(),
         static_cast<long long>(m.bytes));
  race::access(memory, 8, race::Kind::write);
  std::memset(memory, 0xff, 8);
  auto& all = state_of(home).mbarriers;
  std::erase_if(all, [&](const Mbarrier& other) { return other.address == mbarrier; });
}

void mbarrier_arrive(uint32_t mbarrier) {
  EMULATION_NOTE_CALLER();
  shared_pointer(mbarrier, 8);
  Block& b = block_at(mbarrier);
  const bool remote = &b != current()->home;
  Mbarrier& m = remote ? announced_mbarrier_at(b, mbarrier, "mbarrier_arrive_cluster")
                       : mbarrier_at(b, mbarrier, "mbarrier_arrive");
  race::give(m.arriving);
  update(m, b, 1, 0);
  may_preempt();
}

void mbarrier_expect(uint32_t mbarrier, uint32_t bytes, bool arrive) {
  EMULATION_NOTE_CALLER();
  own_memory(mbarrier, "mbarrier_expect_tx");
  Block& home = *current()->home;
  Mbarrier& m = mbarrier_at(home, mbarrier, "mbarrier_expect_tx");
  if (arrive) race::give(m.arriving);
  update(m, home, arrive, bytes);
  may_preempt();
}

bool mbarrier_try_wait(uint32_t mbarrier, uint32_t parity) {
  EMULATION_NOTE_CALLER();
  own_memory(mbarrier, "mbarrier_try_wait");
  Block& home = *current()->home;
  if (!over(mbarrier_at(home, mbarrier, "mbarrier_try_wait"), parity))
    park_idle("a loop of mbarrier_try_wait");
  const Mbarrier& m = mbarrier_at(home, mbarrier, "mbarrier_try_wait");
  if (!over(m, parity)) return false;
  race::take(m.over);
  return true;
}

void mbarrier_wait(uint32_t mbarrier, uint32_t parity) {
  EMULATION_NOTE_CALLER();
  own_memory(mbarrier, "mbarrier_wait");
  Fiber* me = current();
  ThreadState& mine = my_state();
  mine.mbarrier = mbarrier;
  mine.parity = parity;
  for (;;) {
    Mbarrier& m = mbarrier_at(*me->home, mbarrier, "mbarrier_wait");
    if (over(m, parity)) break;
    m.waiting.push_back(me);
    park("mbarrier_wait");
  }
  mine.mbarrier = 0;
  race::take(find(*me->home, mbarrier)->over);
  may_preempt();
}

std::string describe_mbarrier(const Fiber& f) {
  const ThreadState& its = state_of(f);
  const Mbarrier* m = find(*f.home, its.mbarrier);
  if (!m) return "";
  return " for phase " + std::to_string(m->phase) + " of the mbarrier at " +
         std::to_string(m->address) + ", which lacks " + std::to_string(m->pending) + " of " +
         std::to_string(m->count) + " arrivals and " + std::to_string(m->bytes) + " bytes,";
}

void fence_mbarrier_init() {
  EMULATION_NOTE_CALLER();
  announce_mine();
}

void fence_proxy_async() {
  EMULATION_NOTE_CALLER();
  announce_mine();
  race::fence_proxy();
}

}  // namespace kinema::kernels::device::emulation
