#include <algorithm>
#include <cstring>
#include "kernels/device/emulation/in_flight.h"

namespace kinema::kernels::device::emulation {

namespace {

/// Does the first `count` copies that the thread has in flight.
void do_copies(ThreadState& mine, int64_t count, bool waited) {
  for (int64_t i = 0; i < count; ++i) {
    const ThreadCopy& c = mine.copies[size_t(i)];
    if (c.read) std::memcpy(c.to, c.from, c.read);
    std::memset(c.to + c.read, 0, c.bytes - c.read);
    if (waited && !c.announced) {
      race::settle(c.transfer);
      continue;
    }
    race::finish(c.transfer);
    if (waited) race::take(c.transfer);
  }
  mine.copies.erase(mine.copies.begin(), mine.copies.begin() + count);
  mine.copies_done += count;
}

}  // namespace

void cp_async(uint32_t shared, const void* global, int bytes, int read) {
  EMULATION_NOTE_CALLER();
  const auto size = uint32_t(bytes);
  if (shared % size)
    fail("cp_async: expected shared memory on a multiple of %u bytes, got %u", size, shared);
  if (read < 0 || read > bytes)
    fail("cp_async: expected to read 0 to %d bytes, got %d", bytes, read);
  if (read && reinterpret_cast<uintptr_t>(global) % size)
    fail("cp_async: expected global memory on a multiple of %u bytes, got %p", size, global);
  char* to = shared_pointer(shared, size);
  if (read) check_copied(global, size_t(read), race::Kind::read);
  ThreadState& mine = my_state();
  const uint64_t key = agent_key(Agent::copies, *current());
  mine.copies.push_back({to, global, size, size_t(read), mine.copy_groups, false,
                         race::start(key, to, size, race::Kind::write, false)});
  std::memset(to, 0xff, size);
}

void cp_async_commit() { ++my_state().copy_groups; }

void cp_async_wait(int groups) {
  EMULATION_NOTE_CALLER();
  ThreadState& mine = my_state();
  size_t count = 0;
  while (count < mine.copies.size() && mine.copies[count].group < mine.copy_groups - groups)
    ++count;
  do_copies(mine, int64_t(count), true);
  may_preempt();
}

void cp_async_arrive(uint32_t mbarrier) {
  EMULATION_NOTE_CALLER();
  Block* home = current()->home;
  mbarrier_at(*home, mbarrier, "cp_async_arrive");
  ThreadState& mine = my_state();
  for (ThreadCopy& c : mine.copies) c.announced = true;
  race::Transfer last;
  if (!mine.copies.empty()) last = mine.copies.back().transfer;
  const int64_t begun = mine.copies_done + int64_t(mine.copies.size());
  take_off([=, &mine] {
    Mbarrier& m = mbarrier_at(*home, mbarrier, "cp_async_arrive");
    do_copies(mine, std::max<int64_t>(begun - mine.copies_done, 0), false);
    if (last.memory) race::give(last, m.arriving);
    update(m, *home, 1, 0);
  });
  may_preempt();
}

void check_copies_done(const ThreadState& mine) {
  const auto alone = std::count_if(mine.copies.begin(), mine.copies.end(),
                                   [](const ThreadCopy& c) { return !c.announced; });
  if (alone) fail("a thread returns with %td cp_async in flight", alone);
}

}  // namespace kinema::kernels::device::emulation
