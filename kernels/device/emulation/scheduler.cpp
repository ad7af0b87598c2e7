#include <bit>
#include <cstdarg>
#include <cstdio>
#include "kernels/device/emulation/runtime.h"

namespace kinema::kernels::device::emulation {

namespace {

/// One ready lane of warp `w`, no longer ready: the first from lane `start` on, round the end; of
/// the backward schedule the last in front of it.
Fiber* take(int w, uint32_t start) {
  Warp& warp = worker->warps[size_t(w)];
  const bool backward = worker->settings.schedule == Schedule::backward;
  const uint32_t turned = std::rotr(warp.ready, int(start));
  const int found = backward ? 31 - std::countl_zero(turned) : std::countr_zero(turned);
  const uint32_t lane = (uint32_t(found) + start) & 31;
  warp.ready &= ~(1u << lane);
  worker->current_warp = w;
  return warp.lane[lane];
}

Fiber* pick_in_order(int step) {
  const int count = worker->warp_count;
  for (int k = 0, w = worker->current_warp; k < count; ++k, w = (w + step + count) % count)
    if (worker->warps[size_t(w)].ready) return take(w, 0);
  return nullptr;
}

Fiber* pick_by_priority() {
  auto& warps = worker->warps;
  if (random_word() % 256 == 0)
    warps[random_word() % uint64_t(worker->warp_count)].priority = uint32_t(random_word());
  int best = -1;
  for (int w = 0; w < worker->warp_count; ++w)
    if (warps[size_t(w)].ready &&
        (best < 0 || warps[size_t(w)].priority > warps[size_t(best)].priority))
      best = w;
  return best < 0 ? nullptr : take(best, uint32_t(random_word() & 31));
}

/// How often threads that loop may all look in vain, one after the other, before that counts as a
/// deadlock.
constexpr int most_idle_rounds = 1000;

/// Lets those that loop look again; false if there are none, or no hope.
bool wake_idle() {
  if (worker->idle.empty() || ++worker->idle_rounds > most_idle_rounds) return false;
  for (Fiber* f : worker->idle) wake(f);
  worker->idle.clear();
  return true;
}

/// A fiber that can go on; nullptr where none can.
Fiber* pick_ready() {
  switch (worker->settings.schedule) {
    case Schedule::warp:
      return pick_in_order(1);
    case Schedule::backward:
      return pick_in_order(-1);
    case Schedule::prio:
      return pick_by_priority();
  }
  return nullptr;
}

/// The fiber to run next, after asynchronous operations where those must come first; nullptr where
/// nothing can go on.
Fiber* pick() {
  if (worker->settings.schedule == Schedule::prio && random_word() % 64 == 0) land_one();
  for (;;) {
    if (Fiber* next = pick_ready()) return next;
    if (!land_one() && !wake_idle()) return nullptr;
  }
}

/// What every thread that has not returned waits for, a group a line of code and warp.
std::string deadlock() {
  struct Group {
    const Fiber* first;
    const char* what;
    uintptr_t caller;
    unsigned warp;
    int count;
  };
  std::vector<Group> groups;
  for (int i = 0; i < worker->fiber_count; ++i) {
    const Fiber& f = worker->fibers[size_t(i)];
    if (f.done) continue;
    if (!groups.empty() && groups.back().what == f.waits_for && groups.back().caller == f.caller &&
        groups.back().warp == f.number / 32)
      ++groups.back().count;
    else
      groups.push_back({&f, f.waits_for, f.caller, f.number / 32, 1});
  }
  std::string text = "deadlock, no thread can go on:";
  for (size_t i = 0; i < groups.size() && i < 12; ++i) {
    const Group& g = groups[i];
    text += (i ? "; " : " ") + std::to_string(g.count) + " of warp " + std::to_string(g.warp) +
            " wait in " + (g.what ? g.what : "?") + describe_wait(*g.first) + " at " +
            source_line(g.caller);
  }
  return text;
}

/// Ends the unit, worker->error being what the launch will throw. The frames of all its fibers are
/// forgotten: nothing in them may own anything.
[[noreturn]] void give_up() {
  switch_to(nullptr, false);
  __builtin_unreachable();
}

void park_for(const char* waits_for) {
  Fiber* me = current();
  me->waits_for = waits_for;
  Fiber* next = pick();
  if (next == me) return;
  if (!next) {
    worker->error = deadlock();
    give_up();
  }
  switch_to(next, false);
}

}  // namespace

uint64_t random_word() {
  uint64_t& x = worker->random_state;  // xorshift64*, Vigna, arXiv:1402.6246
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x * 0x2545F4914F6CDD1Dull;
}

void run_fibers() {
  if (Fiber* first = pick()) switch_to(first, false);
}

void wake(Fiber* f) { f->warp->ready |= 1u << f->lane; }

void park(const char* waits_for) {
  worker->idle_rounds = 0;
  park_for(waits_for);
}

void park_idle(const char* waits_for) {
  worker->idle.push_back(current());
  park_for(waits_for);
}

void spin() {
  EMULATION_NOTE_CALLER();
  park_idle("a loop that waits");
}

void may_preempt() {
  if (worker->settings.schedule != Schedule::prio || random_word() % 4) return;
  wake(current());
  park("nothing");
}

void finish() {
  Fiber* me = current();
  me->done = true;
  me->warp->live &= ~(1u << me->lane);
  --worker->live;
  leave_block(*me->home);
  leave_flights();
  Fiber* next = worker->live ? pick() : nullptr;
  if (next && !next->stack) return take_over(*next);
  if (!next && worker->live) worker->error = deadlock();
  switch_to(next, true);
  __builtin_unreachable();
}

void fail(const char* format, ...) {
  char text[600];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  worker->error = place_of(*current()) + " at " + source_line(current()->caller) + ": " + text;
  give_up();
}

}  // namespace kinema::kernels::device::emulation
