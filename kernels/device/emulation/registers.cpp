#include <algorithm>
#include "kernels/device/emulation/in_flight.h"

namespace kinema::kernels::device::emulation {

namespace {

/// Registers of a multiprocessor.
constexpr int pool = 65536;

/// As many registers a thread as a block of so many threads may have at its start.
int registers_at_start(int threads) { return std::min(pool / threads / 8 * 8, 256); }

BlockState& registers_of(const Block& home) {
  BlockState& state = state_of(home);
  if (!state.registers.empty()) return state;
  const int start = registers_at_start(home.threads);
  state.registers.assign(size_t((home.threads + 31) / 32), start);
  state.free_registers = pool - int64_t(start) * home.threads;
  return state;
}

}  // namespace

bool elect_one() {
  EMULATION_NOTE_CALLER();
  // Which lane it is is nobody's business: the last one where the schedule runs backward.
  bool elected = false;
  meet(whole_warp, "elect_one", &elected, [](void* const* lanes, uint32_t mask) {
    const bool last = worker->settings.schedule == Schedule::backward;
    *static_cast<bool*>(lanes[last ? 31 - __builtin_clz(mask) : __builtin_ctz(mask)]) = true;
  });
  return elected;
}

void set_registers(int count, bool more) {
  EMULATION_NOTE_CALLER();
  Fiber* me = current();
  meet(whole_warp, more ? "register_alloc" : "register_dealloc", nullptr,
       [](void* const*, uint32_t) {});
  BlockState& state = registers_of(*me->home);
  int& mine = state.registers[me->number / 32];
  if (more ? count < mine : count > mine) {
    if (more)
      fail("register_alloc: expected at least the %d that threads have, got %d", mine, count);
    fail("register_dealloc: expected at most the %d that threads have, got %d", mine, count);
  }
  // The first lane to get here acts for its warp.
  while (mine != count && (count - mine) * 32 > state.free_registers) {
    state.waiting_for_registers.push_back(me);
    park("register_alloc");
  }
  state.free_registers -= int64_t(count - mine) * 32;
  mine = count;
  for (Fiber* f : state.waiting_for_registers) wake(f);
  state.waiting_for_registers.clear();
}

}  // namespace kinema::kernels::device::emulation
