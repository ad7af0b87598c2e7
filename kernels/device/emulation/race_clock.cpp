#include <algorithm>
#include "kernels/device/emulation/race_detector.h"

namespace kinema::kernels::device::emulation::race {

thread_local Detector detector;

namespace {

/// `clock` as it is in the team's era: a barrier of all threads is a new era, in which each thread
/// has seen the whole past of all threads, and new times begin.
Clock& renewed(Clock& clock, const Team& team) {
  if (clock.era == team.era) return clock;
  clock.era = team.era;
  clock.time = 1;
  clock.threads.clear();
  return clock;
}

/// Times of agents outlive eras, those of threads do not.
void merge_clocks(Clock& into, const Clock& from) {
  if (from.era == into.era) merge(into.threads, from.threads);
  merge(into.agents, from.agents);
}

/// The past of f goes into `to`; what f does next is later.
void give(const Fiber& f, Clock& to) {
  Clock& mine = clock_of(f);
  merge_clocks(renewed(to, team_of(f)), mine);
  raise(to.threads, size_t(number_in_team(f)), mine.time);
  ++mine.time;
}

}  // namespace

Clock& clock_of(const Fiber& f) { return renewed(detector.clocks[size_t(id_of(f))], team_of(f)); }

void merge(std::vector<uint32_t>& into, const std::vector<uint32_t>& from) {
  if (into.size() < from.size()) into.resize(from.size(), 0);
  for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

void raise(std::vector<uint32_t>& times, size_t who, uint32_t time) {
  if (times.size() <= who) times.resize(who + 1, 0);
  times[who] = std::max(times[who], time);
}

void begin_unit() {
  if (!on) return;
  Detector& d = detector;
  const bool cooperative = worker->launch->cooperative;
  const int blocks = int(worker->blocks.size()), team_blocks = cooperative ? 1 : blocks;
  d.warps_per_team = worker->warp_count / blocks * team_blocks;
  d.teams.clear();
  for (int b = 0; b < blocks; b += team_blocks)
    d.teams.push_back({.era = ++d.era,
                       .first_warp = b / team_blocks * d.warps_per_team,
                       .warps = d.warps_per_team,
                       .first_block = b,
                       .blocks = team_blocks,
                       .number = cooperative ? b : worker->unit});
  ++d.unit;
  const size_t threads = size_t(worker->warp_count) * 32;
  if (d.clocks.size() < threads) d.clocks.resize(threads);
  for (size_t i = 0; i < threads; ++i) d.clocks[i].agents.clear();
  d.fences.assign(threads, 0);
  if (d.cells.size() < size_t(blocks)) d.cells.resize(size_t(blocks));
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
  for (const Fiber* f : waiting) merge_clocks(clock_of(*f), sum);
}

void join_warp(Warp& warp, uint32_t mask) {
  if (!on) return;
  Clock sum;
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1) give(*warp.lane[l], sum);
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1) merge_clocks(clock_of(*warp.lane[l]), sum);
}

void give(Clock& to) {
  if (on) give(*current(), to);
}
void take(const Clock& from) {
  if (on) merge_clocks(clock_of(*current()), from);
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
