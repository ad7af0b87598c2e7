#include <cstring>
#include "kernels/device/emulation/in_flight.h"

namespace kinema::kernels::device::emulation {

namespace {

/// The first block of the running thread's cluster. In a cooperative launch, which is one unit,
/// each block is a cluster of its own.
Block& first_block() { return worker->launch->cooperative ? *current()->home : worker->blocks[0]; }
ClusterBarrier& barrier_of_cluster() { return state_of(first_block()).cluster; }

void open_if_full(ClusterBarrier& b) {
  const int live = worker->launch->cooperative ? current()->home->live : worker->live;
  if (!b.arrived || b.arrived < live) return;
  b.arrived = 0;
  ++b.phase;
  b.over = b.arriving;
  for (Fiber* f : b.waiting) wake(f);
  b.waiting.clear();
}

/// Where `bytes` at `address`, of any block of the cluster, lie.
char* cluster_pointer(uint32_t address, uint32_t bytes, const char* name) {
  if (address % bytes)
    fail("%s: expected an address on a multiple of %u bytes, got %u", name, bytes, local(address));
  char* p = shared_pointer(address, bytes);
  if (!block_at(address).live) fail("%s: block %u has ended", name, (address >> 24) - 1);
  return p;
}

}  // namespace

void cluster_arrive() {
  EMULATION_NOTE_CALLER();
  ThreadState& mine = my_state();
  if (mine.at_cluster_barrier)
    fail("cluster_arrive: this thread has arrived already, and not waited since");
  mine.at_cluster_barrier = true;
  ClusterBarrier& b = barrier_of_cluster();
  race::give(b.arriving);
  ++b.arrived;
  mine.cluster_phase = b.phase;
  open_if_full(b);
  may_preempt();
}

void cluster_wait() {
  EMULATION_NOTE_CALLER();
  ThreadState& mine = my_state();
  if (!mine.at_cluster_barrier) fail("cluster_wait: this thread has not arrived");
  ClusterBarrier& b = barrier_of_cluster();
  while (b.phase == mine.cluster_phase) {
    b.waiting.push_back(current());
    park("cluster_wait");
  }
  mine.at_cluster_barrier = false;
  race::take(b.over);
  may_preempt();
}

void leave_cluster() {
  if (my_state().at_cluster_barrier)
    fail("a thread returns that has arrived at the cluster's barrier and not waited");
  open_if_full(barrier_of_cluster());
}

uint32_t cluster_rank() {
  return worker->launch->cooperative ? 0 : uint32_t(current()->home->rank);
}
uint32_t cluster_size() {
  return worker->launch->cooperative ? 1 : uint32_t(worker->blocks.size());
}

uint32_t cluster_address(uint32_t shared, uint32_t rank) {
  EMULATION_NOTE_CALLER();
  if (rank >= cluster_size())
    fail("cluster_address: the cluster has %u blocks, got rank %u", cluster_size(), rank);
  return local(shared) | (uint32_t(first_block().rank) + rank + 1) << 24;
}

void load_cluster(uint32_t address, void* value, uint32_t bytes) {
  EMULATION_NOTE_CALLER();
  const char* p = cluster_pointer(address, bytes, "load_cluster");
  race::access(p, bytes, race::Kind::read);
  std::memcpy(value, p, bytes);
}

void store_cluster(uint32_t address, const void* value, uint32_t bytes) {
  EMULATION_NOTE_CALLER();
  char* p = cluster_pointer(address, bytes, "store_cluster");
  race::access(p, bytes, race::Kind::write);
  std::memcpy(p, value, bytes);
}

}  // namespace kinema::kernels::device::emulation
