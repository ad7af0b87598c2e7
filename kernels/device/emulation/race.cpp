#include "kernels/device/emulation/race.h"
#include <algorithm>
#include <cstdio>

namespace kinema::kernels::device::emulation::race {

namespace {

/// Accesses to the bytes `mask` of one word, by lanes of one warp at one time, or by an agent. A
/// list holds those that later ones may conflict with: none that another has come after.
struct Record {
  uint32_t next, time;
  int32_t code;
  uint32_t lanes;  ///< of an agent: 1 while in flight
  uint16_t who;    ///< warp or agent
  uint8_t mask;
  Kind kind;
};
/// Lists of records; number 0 is the end of each.
struct Pool {
  std::vector<Record> records{1};
  uint32_t unused = 0;

  Record& operator[](uint32_t i) { return records[i]; }
  void clear() {
    records.resize(1);
    unused = 0;
  }
  void push(uint32_t& head, Record r) {
    r.next = head;
    head = unused ? unused : uint32_t(records.size());
    if (!unused) {
      records.push_back(r);
      return;
    }
    unused = records[head].next;
    records[head] = r;
  }
  void remove(uint32_t& link) {
    const uint32_t i = link;
    link = records[i].next;
    records[i].next = unused;
    unused = i;
  }
};

/// A word of shared memory. What is of another era or unit counts as empty: nothing is cleared.
struct Cell {
  uint32_t era = 0, threads = 0;  ///< accesses of threads since the last barrier of all
  uint32_t unit = 0, agents = 0;  ///< accesses of agents
  /// The last thread to write, counted in its team, and its fences then plus 1; or 0.
  uint16_t writer = 0, fences = 0;
};

/// The threads that can meet in one shared memory: of a block, or of a cluster.
struct Team {
  uint32_t era = 0;
  int first_warp = 0, warps = 0, first_block = 0, blocks = 1;
};

struct Detector {
  uint32_t era = 0, unit = 0;
  int warps_per_team = 1;
  std::vector<Team> teams;
  std::vector<Clock> clocks;  ///< by thread: warp of the unit * 32 + lane
  std::vector<uint16_t> fences;
  std::vector<Cell> cells;
  Pool threads, agents;
  std::vector<std::pair<uint64_t, uint32_t>> agent;  ///< key, time
};
thread_local Detector detector;

int warp_of(const Fiber& f) { return int(f.warp - worker->warps.data()); }
int id_of(const Fiber& f) { return warp_of(f) * 32 + int(f.lane); }
Team& team_of(const Fiber& f) {
  return detector.teams[size_t(warp_of(f) / detector.warps_per_team)];
}
int number_in_team(const Fiber& f) { return id_of(f) - team_of(f).first_warp * 32; }

/// Code as 32 bits: all of a program lies within 2 GiB.
int32_t packed(uintptr_t code) { return int32_t(code - reinterpret_cast<uintptr_t>(&packed)); }
uintptr_t unpacked(int32_t code) {
  return reinterpret_cast<uintptr_t>(&packed) + uintptr_t(intptr_t(code));
}

/// `clock` as it is in the team's era: a barrier of all threads is a new era, in which each thread
/// has seen the whole past of all threads, and new times begin.
Clock& renewed(Clock& clock, const Team& team) {
  if (clock.era == team.era) return clock;
  clock.era = team.era;
  clock.time = 1;
  clock.threads.clear();
  return clock;
}
Clock& clock_of(const Fiber& f) { return renewed(detector.clocks[size_t(id_of(f))], team_of(f)); }

void merge(std::vector<uint32_t>& into, const std::vector<uint32_t>& from) {
  if (into.size() < from.size()) into.resize(from.size(), 0);
  for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}
/// Times of agents outlive eras, those of threads do not.
void merge(Clock& into, const Clock& from) {
  if (from.era == into.era) merge(into.threads, from.threads);
  merge(into.agents, from.agents);
}
void raise(std::vector<uint32_t>& times, size_t who, uint32_t time) {
  if (times.size() <= who) times.resize(who + 1, 0);
  times[who] = std::max(times[who], time);
}
uint32_t seen(const std::vector<uint32_t>& times, size_t who) {
  return who < times.size() ? times[who] : 0;
}

/// The past of f goes into `to`; what f does next is later.
void give(const Fiber& f, Clock& to) {
  Clock& mine = clock_of(f);
  merge(renewed(to, team_of(f)), mine);
  raise(to.threads, size_t(number_in_team(f)), mine.time);
  ++mine.time;
}

bool conflict(Kind a, Kind b) { return a == Kind::atomic ? a != b : (a != b || a == Kind::write); }

const char* kind_name(Kind kind) {
  return kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "updates";
}
const char* race_name(Kind earlier, Kind later) {
  return later == Kind::read ? "RAW" : earlier == Kind::read ? "WAR" : "WAW";
}

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
      kind_name(a.kind), a.address, t.x, t.y, t.z,
      r.kind == Kind::read    ? "read"
      : r.kind == Kind::write ? "wrote"
                              : "updated",
      source_line(unpacked(r.code)).c_str(), race_name(r.kind, a.kind));
}
[[noreturn]] void report(const Access& a, const Record& r) {
  current()->caller = a.code;
  fail("%s shared memory at %u, which the operation started at %s %s: a %s race", kind_name(a.kind),
       a.address, source_line(unpacked(r.code)).c_str(),
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
      if (a.kind == Kind::read && r.kind == Kind::read && r.who == warp_of(*a.thread) &&
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

/// f(cell) for each word of the bytes, with a's address and mask set.
template <class F>
void each_word(Access& a, const void* p, size_t bytes, F f) {
  const size_t begin = size_t(static_cast<const char*>(p) - worker->arenas), end = begin + bytes;
  for (size_t word = begin / 4; word * 4 < end; ++word) {
    const size_t from = std::max(begin, word * 4) % 4, to = std::min(end - word * 4, size_t(4));
    a.mask = uint8_t((1u << to) - (1u << from));
    a.address = uint32_t(word * 4 % arena_bytes);
    f(renewed(detector.cells[word], *a.team));
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
  check_global(p, bytes);
  if (kind != Kind::write) worker->tally.bytes_read += int64_t(bytes);
  if (kind != Kind::read) worker->tally.bytes_written += int64_t(bytes);
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

void begin_unit() {
  if (!on) return;
  Detector& d = detector;
  const bool cooperative = worker->launch->cooperative;
  const int blocks = int(worker->blocks.size()), team_blocks = cooperative ? 1 : blocks;
  d.warps_per_team = worker->warp_count / blocks * team_blocks;
  d.teams.clear();
  for (int b = 0; b < blocks; b += team_blocks)
    d.teams.push_back(
        {++d.era, b / team_blocks * d.warps_per_team, d.warps_per_team, b, team_blocks});
  ++d.unit;
  const size_t threads = size_t(worker->warp_count) * 32;
  if (d.clocks.size() < threads) d.clocks.resize(threads);
  for (size_t i = 0; i < threads; ++i) d.clocks[i].agents.clear();
  d.fences.assign(threads, 0);
  d.cells.resize(std::max(d.cells.size(), size_t(worker->arena_count) * (arena_bytes / 4)));
  d.threads.clear();
  d.agents.clear();
  d.agent.clear();
}

void join(const std::vector<Fiber*>& all, const std::vector<Fiber*>& waiting) {
  if (!on || all.empty()) return;
  Team& team = team_of(*all[0]);
  int live = 0;
  for (int b = 0; b < team.blocks; ++b) live += worker->blocks[size_t(team.first_block + b)].live;
  Clock sum;
  if (int(all.size()) == live && waiting.size() == all.size()) {
    for (const Fiber* f : all) merge(sum.agents, clock_of(*f).agents);
    team.era = ++detector.era;
    if (detector.teams.size() == 1) detector.threads.clear();
  } else {
    for (const Fiber* f : all) give(*f, sum);
  }
  for (const Fiber* f : waiting) merge(clock_of(*f), sum);
}

void join_warp(Warp& warp, uint32_t mask) {
  if (!on) return;
  Clock sum;
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1) give(*warp.lane[l], sum);
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1) merge(clock_of(*warp.lane[l]), sum);
}

void give(Clock& to) {
  if (on) give(*current(), to);
}
void take(const Clock& from) {
  if (on) merge(clock_of(*current()), from);
}

void access(const void* p, size_t bytes, Kind kind, uintptr_t code) {
  if (!here || !bytes) return;
  const auto address = reinterpret_cast<uintptr_t>(p);
  const auto arenas = reinterpret_cast<uintptr_t>(worker->arenas);
  if (address - arenas < size_t(worker->arena_count) * arena_bytes)
    access_shared(p, bytes, kind, code);
  else if (address - range_begin < range_bytes)
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
void give(const Transfer& t, Clock& to) {
  if (on) raise(to.agents, size_t(t.agent), t.time);
}
void take(const Transfer& t) {
  if (on) raise(clock_of(*current()).agents, size_t(t.agent), t.time);
}

void fence_proxy() {
  if (on) ++detector.fences[size_t(id_of(*current()))];
}

}  // namespace kinema::kernels::device::emulation::race
