#include "kernels/device/emulation/in_flight.h"
#ifdef KINEMA_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace kinema::kernels::device::emulation {

InFlight& begin_in_flight() {
  worker->in_flight = std::make_shared<InFlight>();
  worker->in_flight->threads.resize(size_t(worker->fiber_count));
  worker->in_flight->blocks.resize(worker->blocks.size());
  return *worker->in_flight;
}

void take_off(std::function<void()> land) {
  Fiber* me = current();
  in_flight().flights.push_back({me, me->caller, std::move(land)});
}

bool land_one() {
  if (!worker->in_flight || in_flight().flights.empty()) return false;
  auto& flights = in_flight().flights;
  const size_t last = flights.size() - 1;
  const Schedule schedule = worker->settings.schedule;
  const size_t number = schedule == Schedule::warp       ? 0
                        : schedule == Schedule::backward ? last
                                                         : random_word() % (last + 1);
  const Flight flight = std::move(flights[number]);
  flights.erase(flights.begin() + int64_t(number));
  Place* const before = here;
  const uintptr_t caller = flight.asker->caller;
  here = flight.asker;
  flight.asker->caller = flight.caller;
  flight.land();
  flight.asker->caller = caller;
  here = before;
  return true;
}

void leave_flights() {
  if (!worker->in_flight) return;
  ThreadState& mine = my_state();
  check_copies_done(mine);
  check_mmas_done(mine);
  finish_stores(mine);
  leave_cluster();
  if (worker->live == 0 && !in_flight().flights.empty()) {
    current()->caller = in_flight().flights.front().caller;
    fail("the block ends while a copy that begins here is in flight");
  }
}

std::string describe_wait(const Fiber& f) {
  return worker->in_flight && state_of(f).mbarrier ? describe_mbarrier(f) : "";
}

Block& block_at(uint32_t address) {
  const uint32_t rank = address >> 24;
  return rank ? worker->blocks[rank - 1] : *current()->home;
}

void check_copied(const void* p, size_t bytes, race::Kind kind) {
#ifdef KINEMA_ASAN
  if (void* bad = __asan_region_is_poisoned(const_cast<void*>(p), bytes))
    fail("an asynchronous copy of %zu bytes of global memory goes out of bounds at byte %td", bytes,
         static_cast<const char*>(bad) - static_cast<const char*>(p));
#endif
  race::access(p, bytes, kind);
}

}  // namespace kinema::kernels::device::emulation
