#include <algorithm>
#include "kernels/device/emulation/race_detector.h"

namespace kinema::kernels::device::emulation::race {

namespace {

/// One access, as it goes through the words that it touches.
struct Access {
  Kind kind;
  uintptr_t code;
  const Fiber* thread;
  Clock* clock;
  const Team* team;
  uint32_t address = 0;  ///< of the word
  uint8_t mask = 0;      ///< bytes of the word
};

[[noreturn]] void report(const Access& a, const Record& r, int lane) {
  const Fiber& other = *worker->warps[r.who].lane[lane];
  const uint3 t = other.thread;
  current()->caller = a.code;
  fail(
      "%s shared memory at %u, which thread (%u,%u,%u) %s at %s with no barrier between: a %s race",
      kind_name(a.kind), a.address, t.x, t.y, t.z, past_name(r.kind), source_line(unpacked(r.code)),
      race_name(r.kind, a.kind));
}
[[noreturn]] void report(const Access& a, const Record& r) {
  current()->caller = a.code;
  fail("%s shared memory at %u, which the operation started at %s %s: a %s race", kind_name(a.kind),
       a.address, source_line(unpacked(r.code)),
       r.lanes                ? (r.kind == Kind::read ? "is still reading" : "is still writing")
       : r.kind == Kind::read ? "has read, but this thread has not waited for that"
                              : "has written, but this thread has not waited for that",
       race_name(r.kind, a.kind));
}

/// Ends the launch if r conflicts with a, and a's thread has not seen it.
void check_order(const Access& a, const Record& r) {
  if (!conflict(a.kind, r.kind)) return;
  const size_t first = size_t(r.who - a.team->first_warp) * 32;
  for (uint32_t lanes = r.lanes; lanes; lanes &= lanes - 1) {
    const int lane = __builtin_ctz(lanes);
    const bool own = r.who == warp_of(*a.thread) && lane == int(a.thread->lane);
    if (!own && seen(a.clock->threads, first + size_t(lane)) < r.time) report(a, r, lane);
  }
}
void check_agents(const Access& a, Cell& cell) {
  for (uint32_t* link = &cell.agents; *link;) {
    Record& r = detector.agents[*link];
    if (r.mask & a.mask && conflict(a.kind, r.kind) &&
        (r.lanes || seen(a.clock->agents, r.who) < r.time))
      report(a, r);
    if (a.kind == Kind::write && !r.lanes) r.mask &= uint8_t(~a.mask);
    if (r.mask)
      link = &r.next;
    else
      detector.agents.remove(*link);
  }
}

/// Holds access a against those that the cell knows, and drops those that whatever comes after a
/// also comes after.
void check_threads(const Access& a, Cell& cell) {
  for (uint32_t* link = &cell.threads; *link;) {
    Record& r = detector.threads[*link];
    if (r.mask & a.mask) {
      check_order(a, r);
      if (a.kind == Kind::write) r.mask &= uint8_t(~a.mask);
      if (a.kind != Kind::write && r.kind == a.kind && r.who == warp_of(*a.thread) &&
          !(r.mask & ~a.mask))
        r.lanes &= ~(1u << a.thread->lane);
    }
    if (r.mask && r.lanes)
      link = &r.next;
    else
      detector.threads.remove(*link);
  }
}

Cell& renewed(Cell& cell, const Team& team) {
  if (cell.unit != detector.unit) cell = {.unit = detector.unit};
  if (cell.era != team.era) cell.era = team.era, cell.threads = 0;
  return cell;
}

void remember(const Access& a, Cell& cell) {
  const Record mine{.next = 0,
                    .time = a.clock->time,
                    .code = packed(a.code),
                    .lanes = 1u << a.thread->lane,
                    .who = uint16_t(warp_of(*a.thread)),
                    .mask = a.mask,
                    .kind = a.kind};
  if (a.kind == Kind::write) {
    cell.writer = uint16_t(number_in_team(*a.thread));
    cell.fences = uint16_t(detector.fences[size_t(id_of(*a.thread))] + 1);
  }
  if (cell.threads) {
    Record& r = detector.threads[cell.threads];
    const bool same = r.who == mine.who && r.time == mine.time && r.code == mine.code &&
                      r.mask == mine.mask && r.kind == mine.kind;
    if (same) {
      r.lanes |= mine.lanes;
      return;
    }
  }
  detector.threads.push(cell.threads, mine);
}

/// True if the access is one more like the cell's last: nothing has come between that concerns it.
bool repeats(const Access& a, const Cell& cell) {
  if (!cell.threads || cell.agents) return false;
  const Record& r = detector.threads[cell.threads];
  return r.who == warp_of(*a.thread) && r.lanes >> a.thread->lane & 1 && r.mask == a.mask &&
         r.kind == a.kind && r.time == a.clock->time && r.kind != Kind::atomic;
}

/// How often the thread `number` of the team has executed fence.proxy.async.
uint16_t fences_of(const Team& team, int number) {
  return detector.fences[size_t(team.first_warp * 32 + number)];
}

Access access_of_thread(Kind kind, uintptr_t code) {
  const Fiber* me = current();
  return {.kind = kind, .code = code, .thread = me, .clock = &clock_of(*me), .team = &team_of(*me)};
}

/// f(cell) for each word of the bytes, which are one block's, with a's address and mask set.
template <class F>
void each_word(Access& a, const void* p, size_t bytes, F f) {
  const size_t offset = size_t(static_cast<const char*>(p) - worker->arenas);
  const size_t begin = offset % arena_bytes, end = begin + bytes;
  std::vector<Cell>& cells = detector.cells[offset / arena_bytes];
  if (cells.size() * 4 < end) cells.resize((end + 3) / 4);
  for (size_t word = begin / 4; word * 4 < end; ++word) {
    const size_t from = std::max(begin, word * 4) % 4, to = std::min(end - word * 4, size_t(4));
    a.mask = uint8_t((1u << to) - (1u << from));
    a.address = uint32_t(word * 4);
    f(renewed(cells[word], *a.team));
  }
}

void access_shared(const void* p, size_t bytes, Kind kind, uintptr_t code) {
  const size_t offset = size_t(static_cast<const char*>(p) - worker->arenas);
  const Block& block = worker->blocks[offset / arena_bytes];
  const size_t from = offset % arena_bytes;
  if (from < first_shared || from + bytes > block.top) {
    current()->caller = code;
    fail("%s %zu bytes at %zu, outside of shared memory, which ends at %zu", kind_name(kind), bytes,
         from, block.top);
  }
  Access a = access_of_thread(kind, code);
  each_word(a, p, bytes, [&](Cell& cell) {
    if (repeats(a, cell)) return;
    if (cell.agents) check_agents(a, cell);
    check_threads(a, cell);
    remember(a, cell);
  });
}

void access_global(const void* p, size_t bytes, Kind kind, uintptr_t code) {
  current()->caller = code;
  if (reinterpret_cast<uintptr_t>(p) < 4096)
    fail("%s %zu bytes at a null pointer", kind_name(kind), bytes);
  check_global(p, bytes);
  if (kind != Kind::write) worker->tally.bytes_read += int64_t(bytes);
  if (kind != Kind::read) worker->tally.bytes_written += int64_t(bytes);
  access_between_blocks(p, bytes, kind, code);
}

/// Takes the record of transfer t out of the cell's list, or marks it as no longer in flight.
void end(const Transfer& t, Cell& cell, bool remove) {
  for (uint32_t* link = &cell.agents; *link; link = &detector.agents[*link].next) {
    Record& r = detector.agents[*link];
    if (int(r.who) != t.agent || r.time != t.time) continue;
    r.lanes = 0;
    if (remove) detector.agents.remove(*link);
    return;
  }
}

}  // namespace

void access(const void* p, size_t bytes, Kind kind, uintptr_t code) {
  if (!here || !bytes) return;
  const auto address = reinterpret_cast<uintptr_t>(p);
  const auto arenas = reinterpret_cast<uintptr_t>(worker->arenas);
  if (address - arenas < size_t(worker->arena_count) * arena_bytes)
    access_shared(p, bytes, kind, code);
  else if (address - range_begin < range_bytes || address < 4096)
    access_global(p, bytes, kind, code);
}

Transfer start(uint64_t agent_key, const void* p, size_t bytes, Kind kind, bool async_proxy) {
  Transfer t{.memory = p, .bytes = bytes, .kind = kind};
  if (!on) return t;
  auto& agents = detector.agent;
  const auto known = std::find_if(agents.begin(), agents.end(),
                                  [&](const auto& a) { return a.first == agent_key; });
  t.agent = int(known - agents.begin());
  if (known == agents.end()) agents.emplace_back(agent_key, 0u);
  t.time = ++agents[size_t(t.agent)].second;
  Access a = access_of_thread(kind, current()->caller);
  each_word(a, p, bytes, [&](Cell& cell) {
    check_agents(a, cell);
    check_threads(a, cell);
    if (async_proxy && kind == Kind::read && cell.fences &&
        cell.fences == uint16_t(fences_of(*a.team, cell.writer) + 1))
      fail(
          "the async proxy reads shared memory at %u, which a thread wrote without "
          "fence_proxy_async() behind it",
          a.address);
    detector.agents.push(cell.agents, {.next = 0,
                                       .time = t.time,
                                       .code = packed(a.code),
                                       .lanes = 1,
                                       .who = uint16_t(t.agent),
                                       .mask = a.mask,
                                       .kind = kind});
    if (kind == Kind::write) cell.fences = 0;
  });
  return t;
}

void finish(const Transfer& t) {
  if (!on) return;
  Access a = access_of_thread(t.kind, current()->caller);
  each_word(a, t.memory, t.bytes, [&](Cell& cell) { end(t, cell, false); });
}
void settle(const Transfer& t) {
  if (!on) return;
  Access a = access_of_thread(t.kind, current()->caller);
  each_word(a, t.memory, t.bytes, [&](Cell& cell) {
    end(t, cell, true);
    remember(a, cell);
  });
}
}  // namespace kinema::kernels::device::emulation::race
