#include <algorithm>
#include <cstring>
#include "kernels/device/emulation/operands.h"

namespace kinema::kernels::device::emulation {

namespace {

constexpr int warpgroup_threads = 128, rows = 64;

Warpgroup& warpgroup_of(const Fiber& f) {
  return state_of(*f.home).warpgroups[f.number / warpgroup_threads];
}
/// Thread t of the running thread's warpgroup.
Fiber& member(int t) {
  const Fiber* me = current();
  return worker
      ->fibers[size_t(me - worker->fibers.data()) - me->number % warpgroup_threads + size_t(t)];
}

void check_whole(const char* name) {
  const Fiber* me = current();
  const int first = int(me->number) / warpgroup_threads * warpgroup_threads;
  if (first + warpgroup_threads > me->home->threads)
    fail("%s: expected four warps of the warpgroup, got a block of %d threads", name,
         me->home->threads);
}

/// Tells the race detector that the operand is read from now on, in ranges as long as can be.
void start_reads(const std::vector<uint32_t>& operand, std::vector<race::Transfer>& reads) {
  if (!race::on) return;
  thread_local std::vector<uint32_t> chunks;
  chunks = operand;
  std::sort(chunks.begin(), chunks.end());
  const Fiber* me = current();
  const uint64_t key =
      agent_key(Agent::warpgroup, uint64_t(me->home->rank), me->number / warpgroup_threads);
  for (size_t i = 0; i < chunks.size();) {
    size_t end = i + 1;
    while (end < chunks.size() && chunks[end] <= chunks[end - 1] + 16) ++end;
    reads.push_back(race::start(key, me->home->arena + chunks[i], chunks[end - 1] + 16 - chunks[i],
                                race::Kind::read, true));
    i = end;
  }
}

/// The first thread of the warpgroup to issue a wgmma says which; the others must say the same.
void begin(Warpgroup& group, WarpgroupMma what, int64_t committed) {
  what.d = nullptr;
  SharedMma& mma = group.mmas.emplace_back();
  mma.what = what;
  mma.group = committed;
  if (!what.a_registers) add_chunks(what.a, rows, what.type, what.a_mn_major, mma.a);
  add_chunks(what.b, what.columns, what.type, what.b_mn_major, mma.b);
  start_reads(mma.a, mma.reads);
  start_reads(mma.b, mma.reads);
}

void check_same(const SharedMma& first, const WarpgroupMma& mine, int64_t committed) {
  const WarpgroupMma& w = first.what;
  if (w.a != mine.a || w.b != mine.b)
    fail(
        "wgmma: descriptors differ within the warpgroup: %016llx and %016llx, others have %016llx "
        "and %016llx",
        static_cast<unsigned long long>(mine.a), static_cast<unsigned long long>(mine.b),
        static_cast<unsigned long long>(w.a), static_cast<unsigned long long>(w.b));
  if (w.type != mine.type || w.columns != mine.columns || w.accumulate != mine.accumulate ||
      w.a_mn_major != mine.a_mn_major || w.b_mn_major != mine.b_mn_major ||
      !w.a_registers != !mine.a_registers || first.group != committed)
    fail("wgmma: the threads of the warpgroup issue different instructions");
}

/// The accumulators at d: those in flight, or new ones, whose registers then hold NaN.
size_t accumulators_at(ThreadState& mine, float* d, int count) {
  auto& all = mine.accumulators;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].registers != d) continue;
    if (all[i].sums.size() != size_t(count))
      fail("wgmma: accumulators in flight are used as %d instead of %zu", count,
           all[i].sums.size());
    return i;
  }
  all.push_back({d, std::vector<float>(d, d + count)});
  std::memset(d, 0xff, size_t(count) * sizeof(float));
  return all.size() - 1;
}

/// f(row, column, sum) for each sum that thread t of a warpgroup holds.
template <class F>
void each_sum(int t, std::vector<float>& sums, F f) {
  const int row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
  for (int i = 0; i < int(sums.size()); ++i)
    f(row + i / 2 % 2 * 8, column + i / 4 * 8 + i % 2, sums[size_t(i)]);
}

/// a[k][row] from the registers that the threads gave.
void read_registers(Number type, size_t number, float* a) {
  const int chunk = chunk_of(type), per_register = type == Number::tf32 ? 1 : 2;
  for (int t = 0; t < warpgroup_threads; ++t) {
    const uint32_t* words = state_of(member(t)).mmas[number].a;
    for (int i = 0; i < 4; ++i) {
      const int row = t / 32 * 16 + t % 32 / 4 + i % 2 * 8;
      const int k = t % 4 * per_register + i / 2 * chunk;
      float values[2];
      to_floats(type, &words[i], per_register, values);
      for (int e = 0; e < per_register; ++e) a[(k + e) * rows + row] = values[e];
    }
  }
}

/// c[64][columns] += a * b, both by k first.
void multiply(const float* a, const float* b, int depth, int columns, float* c) {
  for (int row = 0; row < rows; ++row) {
    float* __restrict sums = c + row * columns;
    for (int k = 0; k < depth; ++k) {
      const float factor = a[k * rows + row];
      const float* __restrict from = b + k * columns;
      for (int column = 0; column < columns; ++column) sums[column] += factor * from[column];
    }
  }
}

/// Runs wgmmas [first, end), which share their accumulators: these are collected only once.
void run_chain(Warpgroup& group, size_t first, size_t end) {
  thread_local std::vector<float> a(rows * 16), b(256 * 16), c(rows * 256);
  const int columns = group.mmas[first].what.columns;
  const auto sums_of = [&](int t) -> std::vector<float>& {
    ThreadState& its = state_of(member(t));
    return its.accumulators[its.mmas[first].accumulators].sums;
  };
  for (int t = 0; t < warpgroup_threads; ++t)
    each_sum(t, sums_of(t), [&](int i, int j, float& sum) { c[size_t(i * columns + j)] = sum; });
  for (size_t i = first; i < end; ++i) {
    const SharedMma& mma = group.mmas[i];
    const WarpgroupMma& w = mma.what;
    if (w.a_registers)
      read_registers(w.type, i, a.data());
    else
      read_operand(mma.a, rows, w.type, w.a_mn_major, a.data());
    read_operand(mma.b, columns, w.type, w.b_mn_major, b.data());
    if (!w.accumulate) std::fill_n(c.begin(), rows * columns, 0.f);
    multiply(a.data(), b.data(), depth_of(w.type), columns, c.data());
    for (const race::Transfer& read : mma.reads) race::finish(group.last_read = read);
  }
  for (int t = 0; t < warpgroup_threads; ++t)
    each_sum(t, sums_of(t), [&](int i, int j, float& sum) { sum = c[size_t(i * columns + j)]; });
}

/// Ends the launch unless registers still hold the NaN that they were filled with.
void check_untouched(const Accumulators& a) {
  for (size_t i = 0; i < a.sums.size(); ++i)
    if (__builtin_bit_cast(uint32_t, a.registers[i]) != ~0u)
      fail("wgmma_wait: accumulator %zu of a thread was written while wgmma worked on it", i);
}

/// Gives the thread back the accumulators that no wgmma works on any more.
void give_back(ThreadState& its, size_t count) {
  its.mmas.erase(its.mmas.begin(), its.mmas.begin() + int64_t(count));
  std::vector<Accumulators> left;
  for (size_t i = 0; i < its.accumulators.size(); ++i) {
    Accumulators& a = its.accumulators[i];
    const bool busy = std::any_of(its.mmas.begin(), its.mmas.end(),
                                  [&](const ThreadMma& m) { return m.accumulators == i; });
    if (!busy) {
      check_untouched(a);
      std::copy(a.sums.begin(), a.sums.end(), a.registers);
      continue;
    }
    for (ThreadMma& m : its.mmas)
      if (m.accumulators == i) m.accumulators = left.size();
    left.push_back(std::move(a));
  }
  its.accumulators = std::move(left);
  if (its.mmas.empty()) its.mma_fenced = false;
}

/// Does what the warpgroup waits for.
void run_groups(Warpgroup& group, int groups) {
  const ThreadState& first = state_of(member(0));
  for (int t = 1; t < warpgroup_threads; ++t) {
    const ThreadState& its = state_of(member(t));
    if (its.mmas.size() != first.mmas.size() || its.mma_groups != first.mma_groups)
      fail("wgmma_wait: threads of the warpgroup have %zu and %zu wgmmas in flight",
           first.mmas.size(), its.mmas.size());
  }
  size_t count = 0;
  while (count < group.mmas.size() && group.mmas[count].group < first.mma_groups - groups) ++count;
  const auto accumulators = [&](size_t i) { return first.mmas[i].accumulators; };
  for (size_t i = 0; i < count;) {
    size_t end = i + 1;
    while (end < count && accumulators(end) == accumulators(i)) ++end;
    run_chain(group, i, end);
    i = end;
  }
  group.mmas.erase(group.mmas.begin(), group.mmas.begin() + int64_t(count));
  for (int t = 0; t < warpgroup_threads; ++t) give_back(state_of(member(t)), count);
}

}  // namespace

void wgmma_fence() {
  EMULATION_NOTE_CALLER();
  my_state().mma_fenced = true;
}

void wgmma_commit() { ++my_state().mma_groups; }

void wgmma(const WarpgroupMma& what) {
  EMULATION_NOTE_CALLER();
  check_whole("wgmma");
  Fiber* me = current();
  ThreadState& mine = my_state();
  if (!mine.mma_fenced) fail("wgmma: expected wgmma_fence() since accumulators were last touched");
  Warpgroup& group = warpgroup_of(*me);
  const size_t number = mine.mmas.size();
  if (number == group.mmas.size())
    begin(group, what, mine.mma_groups);
  else
    check_same(group.mmas[number], what, mine.mma_groups);
  mine.mmas.push_back({accumulators_at(mine, what.d, what.columns / 2), {}});
  if (what.a_registers) std::memcpy(mine.mmas.back().a, what.a_registers, sizeof(uint32_t[4]));
}

void wgmma_wait(int groups) {
  EMULATION_NOTE_CALLER();
  check_whole("wgmma_wait");
  Warpgroup& group = warpgroup_of(*current());
  if (group.arrived && group.groups != groups)
    fail("wgmma_wait: expected %d groups as the others of the warpgroup, got %d", group.groups,
         groups);
  group.groups = groups;
  if (++group.arrived < warpgroup_threads) {
    park("wgmma_wait");
  } else {
    group.arrived = 0;
    run_groups(group, groups);
    for (int t = 0; t < warpgroup_threads; ++t)
      if (&member(t) != current()) wake(&member(t));
    may_preempt();
  }
  if (group.last_read.memory) race::take(group.last_read);
}

void check_mmas_done(const ThreadState& mine) {
  if (!mine.mmas.empty()) fail("a thread returns with %zu wgmmas in flight", mine.mmas.size());
}

}  // namespace kinema::kernels::device::emulation
