#include <sys/mman.h>
#include <bit>
#include "kernels/device/emulation/race_detector.h"

namespace kinema::kernels::device::emulation::race {

namespace {

/// An access of a team to a word of global memory in one launch.
struct Stamp {
  uint64_t serial : 22;  ///< of the launch
  uint64_t team : 18;
  uint64_t time : 18;  ///< of the team
  uint64_t mask : 4;   ///< bytes of the word
  uint64_t atomic : 1;
  uint64_t several : 1;  ///< other teams have read these bytes, too
};
constexpr int64_t most_teams = 1 << 16;
constexpr uint32_t most_times = (1 << 18) - 1;

/// The last write, and the first read since that a later one may conflict with. Workers meet here:
/// of two updates at once one is lost, and with it perhaps a race; none is made up.
struct Word {
  std::atomic<uint64_t> written, read;
  std::atomic<int32_t> written_by, read_by;  ///< code
};

Stamp load(const std::atomic<uint64_t>& stamp) {
  return std::bit_cast<Stamp>(stamp.load(std::memory_order_relaxed));
}
void store(std::atomic<uint64_t>& to, const Stamp& s, std::atomic<int32_t>& code_to, int32_t code) {
  to.store(std::bit_cast<uint64_t>(s), std::memory_order_relaxed);
  code_to.store(code, std::memory_order_relaxed);
}

/// One for each four bytes of the range of allocate().
Word* words() {
  static Word* const all = static_cast<Word*>(reserve_memory(range_bytes / 4 * sizeof(Word)));
  return all;
}
size_t word_of(const void* p) { return (reinterpret_cast<uintptr_t>(p) - range_begin) / 4; }

struct GlobalAccess {
  Kind kind;
  int32_t code;
  const Team& team;
  Stamp mine;
};

[[noreturn]] void report(const GlobalAccess& a, const Stamp& other, Kind its_kind, int32_t code,
                         size_t word) {
  const Launch& l = *worker->launch;
  const uint64_t across = l.grid.x / l.cluster.x, down = l.grid.y / l.cluster.y, team = other.team;
  fail("%s global memory at %p, which block (%u,%u,%u) %s at %s in the same launch: a %s race",
       kind_name(a.kind), reinterpret_cast<void*>(range_begin + word * 4),
       unsigned(team % across) * l.cluster.x, unsigned(team / across % down) * l.cluster.y,
       unsigned(team / (across * down)) * l.cluster.z, past_name(its_kind),
       source_line(unpacked(code)), race_name(its_kind, a.kind));
}

bool same_bytes(const GlobalAccess& a, const Stamp& s) {
  return s.serial == a.mine.serial && s.mask & a.mine.mask;
}
bool ordered(const GlobalAccess& a, const Stamp& s) {
  return s.team == a.mine.team || seen(a.team.seen, s.team) >= s.time;
}

void check_order(const GlobalAccess& a, const Word& w, size_t word) {
  const Stamp written = load(w.written), read = load(w.read);
  const Kind writing = written.atomic ? Kind::atomic : Kind::write;
  if (same_bytes(a, written) && conflict(a.kind, writing) && !ordered(a, written))
    report(a, written, writing, w.written_by, word);
  if (a.kind == Kind::read || !same_bytes(a, read)) return;
  if (!ordered(a, read) || (read.several && a.team.seen.empty()))
    report(a, read, Kind::read, w.read_by, word);
}

bool same_moment(const Stamp& a, const Stamp& b) {
  return a.serial == b.serial && a.team == b.team && a.time == b.time && a.atomic == b.atomic;
}

void remember(const GlobalAccess& a, Word& w) {
  std::atomic<uint64_t>& slot = a.kind == Kind::read ? w.read : w.written;
  std::atomic<int32_t>& code = a.kind == Kind::read ? w.read_by : w.written_by;
  const Stamp last = load(slot);
  Stamp next = a.mine;
  if (same_moment(last, next)) {
    next.mask |= last.mask;
    next.several = last.several;
  } else if (a.kind == Kind::read && same_bytes(a, last) && !ordered(a, last)) {
    next = last;
    next.several = 1;
  }
  if (std::bit_cast<uint64_t>(next) == std::bit_cast<uint64_t>(last)) return;
  store(slot, next, code, next.several ? code.load(std::memory_order_relaxed) : a.code);
  if (a.kind == Kind::write) w.read.store(0, std::memory_order_relaxed);
}

bool is_global(const void* p) { return reinterpret_cast<uintptr_t>(p) - range_begin < range_bytes; }

}  // namespace

Grid::Grid(const Launch& l) {
  static std::atomic<uint64_t> launches{0};
  serial = ++launches % (1 << 22);
  const int64_t blocks = int64_t(l.grid.x) * l.grid.y * l.grid.z;
  watched = on && blocks > 1 && blocks <= most_teams;
}

void access_between_blocks(const void* p, size_t bytes, Kind kind, uintptr_t code) {
  Grid& grid = *worker->grid;
  if (!grid.watched) return;
  Team& team = team_of(*current());
  team.has_accessed |= kind != Kind::atomic;
  GlobalAccess a{kind, packed(code), team, {}};
  a.mine.serial = grid.serial & ((1 << 22) - 1);
  a.mine.team = uint64_t(team.number) & (most_teams - 1);
  // An atomic is itself seen by whoever comes to the same word after it.
  a.mine.time = (kind == Kind::atomic ? team.fenced : team.time) & most_times;
  a.mine.atomic = kind == Kind::atomic;
  const size_t begin = reinterpret_cast<uintptr_t>(p) - range_begin, end = begin + bytes;
  for (size_t word = begin / 4; word * 4 < end; ++word) {
    const size_t from = std::max(begin, word * 4) % 4, to = std::min(end - word * 4, size_t(4));
    a.mine.mask = ((1u << to) - (1u << from)) & 15;
    check_order(a, words()[word], word);
    remember(a, words()[word]);
  }
  if (kind != Kind::atomic) return;
  const std::lock_guard lock(grid.lock);
  std::vector<uint32_t>& released = grid.released[p];
  raise(released, size_t(team.number), team.fenced);
  merge(released, team.seen);
}

void after_atomic(const void* p) {
  if (!here || !is_global(p) || !worker->grid->watched) return;
  const std::lock_guard lock(worker->grid->lock);
  merge(team_of(*current()).seen, worker->grid->released[p]);
}

void fence() {
  if (!on) return;
  Team& team = team_of(*current());
  if (!team.has_accessed) return;
  team.has_accessed = false;
  team.fenced = team.time++;
  if (team.time > most_times) worker->grid->watched = false;
}

void forget(const void* p, size_t bytes) {
  Word* first = words() + word_of(p);
  madvise(first, bytes / 4 * sizeof(Word), MADV_DONTNEED);
}

}  // namespace kinema::kernels::device::emulation::race
