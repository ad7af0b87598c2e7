#pragma once
#include "kernels/device/emulation/runtime.h"

namespace kinema::kernels::device::emulation::race {

/// What the runtime tells the race detector; nothing where it is not built in.
#ifdef KINEMA_WATCH_RACES
void begin_unit();
void end_unit();
/// What each of `all` has done so far comes before what each of `waiting` does from here on.
void join(const std::vector<Fiber*>& all, const std::vector<Fiber*>& waiting);
void join_warp(Warp&, uint32_t mask);
#else
inline void begin_unit() {}
inline void end_unit() {}
inline void join(const std::vector<Fiber*>&, const std::vector<Fiber*>&) {}
inline void join_warp(Warp&, uint32_t) {}
#endif

}  // namespace kinema::kernels::device::emulation::race
