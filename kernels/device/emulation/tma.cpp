#include <array>
#include <cstring>
#include "kernels/device/emulation/in_flight.h"
#include "kernels/device/emulation/tiles.h"

namespace kinema::kernels::device::emulation {

namespace {

/// One block that a load fills.
struct Destination {
  Block* block;
  char* tile;
  race::Transfer transfer;
};

void check_own(uint32_t shared, const char* name, uint32_t align) {
  if (shared >> 24) fail("%s: expected shared memory of this block, got another's", name);
  if (shared % align)
    fail("%s: expected shared memory on a multiple of %u bytes, got %u", name, align, shared);
}

Destination begin_load(Block& b, uint32_t shared, size_t bytes, uint32_t mbarrier) {
  check_own(mbarrier, "tma_load's mbarrier", 8);
  announced_mbarrier_at(b, mbarrier, "tma_load");
  const uint32_t address =
      &b == current()->home ? local(shared) : local(shared) | uint32_t(b.rank + 1) << 24;
  char* tile = shared_pointer(address, uint32_t(bytes));
  const uint64_t key = agent_key(Agent::mbarrier, uint64_t(b.rank), mbarrier);
  const race::Transfer transfer = race::start(key, tile, bytes, race::Kind::write, true);
  std::memset(tile, 0xff, bytes);
  return {&b, tile, transfer};
}

/// What has come into `d`, of which the mbarrier hears.
void end_load(const Destination& d, uint32_t mbarrier, int64_t bytes) {
  race::finish(d.transfer);
  Mbarrier& m = mbarrier_at(*d.block, mbarrier, "tma_load");
  race::give(d.transfer, m.arriving);
  update(m, *d.block, 0, -bytes);
}

/// What one load fills: at most the blocks of a cluster.
struct Destinations {
  std::array<Destination, 8> block = {};
  size_t count = 0;
};

Destinations begin_loads(const TensorCopy& c, size_t bytes) {
  Destinations all;
  if (!c.blocks) {
    all.block[all.count++] = begin_load(*current()->home, c.shared, bytes, c.mbarrier);
    return all;
  }
  for (size_t rank = 0; rank < 16; ++rank) {
    if (!(c.blocks >> rank & 1)) continue;
    if (rank >= cluster_size()) fail("tma_load_multicast: the cluster has no block %zu", rank);
    Block& b = worker->launch->cooperative ? *current()->home : worker->blocks[rank];
    all.block[all.count++] = begin_load(b, c.shared, bytes, c.mbarrier);
  }
  return all;
}

void check_bulk(const void* global, uint32_t bytes, const char* name) {
  if (reinterpret_cast<uintptr_t>(global) % 16)
    fail("%s: expected global memory on a multiple of 16 bytes, got %p", name, global);
  if (bytes % 16 || !bytes) fail("%s: expected a multiple of 16 bytes, got %u", name, bytes);
}

/// Begins a store of `bytes` from `shared`, whose `write` is to be set.
BulkStore& begin_store(uint32_t shared, size_t bytes) {
  const char* from = shared_pointer(shared, uint32_t(bytes));
  ThreadState& mine = my_state();
  const uint64_t key = agent_key(Agent::stores, *current());
  const race::Transfer transfer = race::start(key, from, bytes, race::Kind::read, true);
  mine.stores.push_back(
      {from, std::vector<char>(bytes), mine.store_groups, false, transfer, nullptr});
  return mine.stores.back();
}

void read_source(BulkStore& s) {
  if (s.read) return;
  std::memcpy(s.data.data(), s.from, s.data.size());
  race::finish(s.transfer);
  race::take(s.transfer);
  s.read = true;
}

}  // namespace

void tma_prefetch(const void* map) {
  EMULATION_NOTE_CALLER();
  map_at(map, "tma_prefetch");
}

void tma_load(const TensorCopy& c) {
  EMULATION_NOTE_CALLER();
  const EncodedMap map = map_of(c, "tma_load");
  check_own(c.shared, "tma_load", 128);
  check_tile(map, c, race::Kind::read);
  const Destinations to = begin_loads(c, tile_room(map));
  take_off([=] {
    for (size_t i = 0; i < to.count; ++i) {
      load_tile(map, c, to.block[i].tile);
      end_load(to.block[i], c.mbarrier, int64_t(tile_bytes(map)));
    }
  });
  may_preempt();
}

void bulk_load(uint32_t shared, const void* global, uint32_t bytes, uint32_t mbarrier) {
  EMULATION_NOTE_CALLER();
  check_own(shared, "bulk_load", 16);
  check_bulk(global, bytes, "bulk_load");
  check_copied(global, bytes, race::Kind::read);
  const Destination d = begin_load(*current()->home, shared, bytes, mbarrier);
  take_off([=] {
    std::memcpy(d.tile, global, bytes);
    end_load(d, mbarrier, bytes);
  });
  may_preempt();
}

void tma_store(const TensorCopy& c, bool add) {
  EMULATION_NOTE_CALLER();
  const EncodedMap map = map_of(c, "tma_store");
  check_own(c.shared, "tma_store", 128);
  if (add) check_addable(map);
  check_tile(map, c, race::Kind::write);
  if (!add) poison_tile(map, c);
  begin_store(c.shared, tile_room(map)).write = [=](const char* tile) {
    store_tile(map, c, tile, add);
  };
}

void bulk_store(void* global, uint32_t shared, uint32_t bytes) {
  EMULATION_NOTE_CALLER();
  check_own(shared, "bulk_store", 16);
  check_bulk(global, bytes, "bulk_store");
  check_copied(global, bytes, race::Kind::write);
  std::memset(global, 0xff, bytes);
  begin_store(shared, bytes).write = [=](const char* tile) { std::memcpy(global, tile, bytes); };
}

void bulk_commit() { ++my_state().store_groups; }

void bulk_wait(int groups, bool reading) {
  EMULATION_NOTE_CALLER();
  ThreadState& mine = my_state();
  size_t count = 0;
  for (; count < mine.stores.size(); ++count) {
    BulkStore& s = mine.stores[count];
    if (s.group >= mine.store_groups - groups) break;
    read_source(s);
    if (!reading) s.write(s.data.data());
  }
  if (!reading) mine.stores.erase(mine.stores.begin(), mine.stores.begin() + int64_t(count));
  may_preempt();
}

void finish_stores(ThreadState& mine) {
  for (BulkStore& s : mine.stores) {
    if (!s.read)
      fail("a thread returns while a bulk store may still read shared memory: bulk_wait_read");
    s.write(s.data.data());
  }
  mine.stores.clear();
}

}  // namespace kinema::kernels::device::emulation
