#include <cstring>
#include "kernels/device/emulation/race.h"
#include "kernels/device/emulation/runtime.h"

namespace kinema::kernels::device::emulation {

namespace {

/// The meeting of the lanes of `mask`: the one that has begun, or a new one.
Meeting& meeting_of(Warp& w, uint32_t mask, const char* name) {
  Meeting* unused = nullptr;
  for (Meeting& m : w.meeting) {
    if (m.mask == mask) {
      if (m.name != name && std::strcmp(m.name, name))
        fail("%s, while other lanes of the warp wait in %s", name, m.name);
      return m;
    }
    if (m.mask & mask)
      fail("%s of lanes %08x, while others wait in %s of lanes %08x", name, mask, m.name, m.mask);
    if (!m.mask) unused = &m;
  }
  if (!unused) fail("%s: more than 4 groups of the warp's lanes meet at once", name);
  unused->mask = mask;
  unused->arrived = 0;
  unused->name = name;
  return *unused;
}

}  // namespace

void meet(uint32_t mask, const char* name, void* lane, Act act) {
  Fiber* me = current();
  Warp& w = *me->warp;
  if (!(mask >> me->lane & 1)) fail("%s: lane %u is not in its mask %08x", name, me->lane, mask);
  if (mask == whole_warp) mask = w.live;  // the last warp of a block may be smaller
  Meeting& m = meeting_of(w, mask, name);
  m.lanes[me->lane] = lane;
  m.arrived |= 1u << me->lane;
  if (m.arrived != mask) return park(name);
  act(m.lanes, mask);
  m.mask = 0;
  w.ready |= mask & ~(1u << me->lane);
  may_preempt();
}

void warp_collective(uint32_t mask, const char* name, void* lane, Act act) {
  EMULATION_NOTE_CALLER();
  meet(mask, name, lane, act);
}

void sync_warp(uint32_t mask) {
  EMULATION_NOTE_CALLER();
  meet(mask, "__syncwarp", nullptr,
       [](void* const*, uint32_t lanes) { race::join_warp(*current()->warp, lanes); });
}

void thread_fence() {
  EMULATION_NOTE_CALLER();
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  race::fence();
}

}  // namespace kinema::kernels::device::emulation
