#pragma once
#include "kernels/device/emulation/race.h"

namespace kinema::kernels::device::emulation::race {

/// The inside of the race detector.

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
  // Towards the other teams of the grid, in global memory.
  int64_t number = 0;
  uint32_t time = 1, fenced = 0;    ///< now; before the last __threadfence
  bool has_accessed = false;        ///< since then
  std::vector<uint32_t> seen = {};  ///< times of other teams
};

struct Detector {
  uint32_t era = 0, unit = 0;
  int warps_per_team = 1;
  std::vector<Team> teams;
  std::vector<Clock> clocks;  ///< by thread: warp of the unit * 32 + lane
  std::vector<uint16_t> fences;
  std::vector<std::vector<Cell>> cells;  ///< by block of the unit, as far as it is used
  Pool threads, agents;
  std::vector<std::pair<uint64_t, uint32_t>> agent;  ///< key, time
};
extern thread_local Detector detector;

inline int warp_of(const Fiber& f) { return int(f.warp - worker->warps.data()); }
inline int id_of(const Fiber& f) { return warp_of(f) * 32 + int(f.lane); }
inline Team& team_of(const Fiber& f) {
  return detector.teams[size_t(warp_of(f) / detector.warps_per_team)];
}
inline int number_in_team(const Fiber& f) { return id_of(f) - team_of(f).first_warp * 32; }

/// Code as 32 bits: all of a program lies within 2 GiB.
inline int32_t packed(uintptr_t code) {
  return int32_t(code - reinterpret_cast<uintptr_t>(&begin_unit));
}
inline uintptr_t unpacked(int32_t code) {
  return reinterpret_cast<uintptr_t>(&begin_unit) + uintptr_t(intptr_t(code));
}

inline bool conflict(Kind a, Kind b) {
  return a == Kind::atomic ? a != b : (a != b || a == Kind::write);
}
inline const char* kind_name(Kind kind) {
  return kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "updates";
}
inline const char* past_name(Kind kind) {
  return kind == Kind::read ? "read" : kind == Kind::write ? "wrote" : "updated";
}
inline const char* race_name(Kind earlier, Kind later) {
  return later == Kind::read ? "RAW" : earlier == Kind::read ? "WAR" : "WAW";
}

// race_clock.cpp
/// f's clock in the era of its team.
Clock& clock_of(const Fiber& f);
void merge(std::vector<uint32_t>& into, const std::vector<uint32_t>& from);
void raise(std::vector<uint32_t>& times, size_t who, uint32_t time);
inline uint32_t seen(const std::vector<uint32_t>& times, size_t who) {
  return who < times.size() ? times[who] : 0;
}

// race_global.cpp
void access_between_blocks(const void* p, size_t bytes, Kind kind, uintptr_t code);

}  // namespace kinema::kernels::device::emulation::race
