#include <dlfcn.h>
#include <omp.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <tuple>
#include "kernels/base/error.h"
#include "kernels/device/emulation/race.h"
#include "kernels/device/emulation/runtime.h"

namespace kinema::kernels::device::emulation {

namespace {

std::mutex ledger_lock;
std::map<std::string, Launches> ledger;

/// Writes to the file that KINEMA_LAUNCH_LOG names: first the program, then "offset name threads
/// shared-bytes" for each kernel and shape of block that is new. The offset is that of the kernel's
/// code in the program, from which a test finds its symbol.
void log_kernel(const Launch& l) {
  static const char* const path = std::getenv("KINEMA_LAUNCH_LOG");
  static std::set<std::tuple<const void*, unsigned, int64_t>> known;
  Dl_info file;
  const unsigned threads = l.block.x * l.block.y * l.block.z;
  if (!path || known.count({l.kernel, threads, l.shared_bytes}) || !dladdr(l.kernel, &file)) return;
  std::FILE* log = std::fopen(path, known.empty() ? "w" : "a");
  check(log, "KINEMA_LAUNCH_LOG: expected a file to write, got ", path);
  if (known.empty())
    std::fprintf(log, "%s\n", std::filesystem::read_symlink("/proc/self/exe").c_str());
  known.insert({l.kernel, threads, l.shared_bytes});
  std::fprintf(log, "%zx %s %u %lld\n",
               size_t(static_cast<const char*>(l.kernel) - static_cast<char*>(file.dli_fbase)),
               l.name, threads, static_cast<long long>(l.shared_bytes));
  std::fclose(log);
}

void add(const std::string& name, const Launches& tally) {
  Launches& sum = ledger[name];
  sum.name = name;
  sum.bank_conflicts += tally.bank_conflicts;
  sum.bytes_read += tally.bytes_read;
  sum.bytes_written += tally.bytes_written;
}

void check_cluster(const Launch& l) {
  const Gpu& g = settings().gpu;
  const int64_t blocks = int64_t(l.cluster.x) * l.cluster.y * l.cluster.z;
  check(blocks >= 1 && blocks <= 8, l.name, ": a cluster has 1 to 8 blocks, got ", blocks);
  check(blocks == 1 || g.compute_capability >= 90, l.name, ": ", g.name, " has no clusters");
  check(blocks == 1 || !l.cooperative, l.name,
        ": the emulation has no cooperative launches of clusters");
  check(l.grid.x % l.cluster.x == 0 && l.grid.y % l.cluster.y == 0 && l.grid.z % l.cluster.z == 0,
        l.name, ": the grid must consist of whole clusters");
}

/// Blocks of the launch that the whole GPU holds at once, for all that is known before it runs.
/// Source of the numbers: CUDA C++ Programming Guide 13, technical specifications.
int64_t resident_blocks(const Launch& l, int64_t threads) {
  const Gpu& g = settings().gpu;
  constexpr int64_t most = 32, reserved = 1024;  // blocks a multiprocessor; bytes a block
  const int64_t by_threads = g.threads_per_multiprocessor / threads;
  const int64_t by_memory = g.shared_per_multiprocessor / (l.shared_bytes + reserved);
  return g.multiprocessors * std::min({most, by_threads, by_memory});
}

/// Blocks that run together, as a box of the grid.
dim3 unit_of(const Launch& l) { return l.cooperative ? l.grid : l.cluster; }

void begin_thread(Fiber& f, Block& b, Warp& warp, unsigned number, uint3 thread) {
  f.thread = thread;
  f.lane = number % 32;
  f.block = &b.place;
  f.home = &b;
  f.warp = &warp;
  f.number = number;
  f.done = false;
  f.stack = nullptr;
  f.arrived_at = 0;
  f.waits_for = nullptr;
  f.caller = 0;
  warp.lane[f.lane] = &f;
}

void begin_warp(Warp& warp, int threads) {
  warp.live = warp.ready = threads >= 32 ? ~0u : (1u << threads) - 1;
  warp.priority = uint32_t(random_word());
  for (Meeting& m : warp.meeting) m.mask = 0;
}

/// All threads of b: x runs fastest.
void begin_threads(Block& b, int first_fiber, int first_warp) {
  Worker& w = *worker;
  const dim3 size = b.place.size;
  unsigned t = 0;
  for (unsigned z = 0; z < size.z; ++z)
    for (unsigned y = 0; y < size.y; ++y)
      for (unsigned x = 0; x < size.x; ++x, ++t)
        begin_thread(w.fibers[size_t(first_fiber) + t], b, w.warps[size_t(first_warp) + t / 32], t,
                     {x, y, z});
}

/// Runs unit number `unit` of the grid to its end.
void run_unit(Worker& w, int64_t unit) {
  const Launch& l = *w.launch;
  const dim3 box = unit_of(l);
  const int threads = int(l.block.x * l.block.y * l.block.z), warps = (threads + 31) / 32;
  const int count = int(box.x * box.y * box.z);
  const int64_t across = l.grid.x / box.x, down = l.grid.y / box.y;
  const uint3 corner{unsigned(unit % across) * box.x, unsigned(unit / across % down) * box.y,
                     unsigned(unit / (across * down)) * box.z};
  w.random_state =
      (w.settings.seed * 0x9E3779B97F4A7C15ull) ^ (uint64_t(unit) + 1) * 0xBF58476D1CE4E5B9ull;
  if (!w.random_state) w.random_state = 1;
  w.unit = unit;
  w.blocks.resize(size_t(count));
  w.live = w.fiber_count = threads * count;
  w.warp_count = warps * count;
  if (w.fibers.size() < size_t(w.fiber_count)) w.fibers.resize(size_t(w.fiber_count));
  if (w.warps.size() < size_t(w.warp_count)) w.warps.resize(size_t(w.warp_count));
  reserve_stacks(w, w.fiber_count);
  reserve_arenas(w, count);
  w.current_warp = w.settings.schedule == Schedule::backward ? w.warp_count - 1 : 0;
  w.idle.clear();
  w.idle_rounds = 0;
  w.in_flight.reset();
  for (int k = 0; k < count; ++k) {
    const unsigned u = unsigned(k);
    const uint3 index{corner.x + u % box.x, corner.y + u / box.x % box.y,
                      corner.z + u / (box.x * box.y)};
    Block& b = w.blocks[size_t(k)];
    begin_block(b, l, index, k);
    for (int i = 0; i < warps; ++i) begin_warp(w.warps[size_t(k * warps + i)], threads - 32 * i);
    begin_threads(b, k * threads, k * warps);
  }
  race::begin_unit();
  run_fibers();
  reset_stacks(w);
}

/// A launch, as the threads of the host share it.
struct Work {
  const Launch& launch;
  int64_t units;
  race::Grid grid{launch};
  std::atomic<int64_t> next{0};
  std::string error = "";
};

/// The worker of this thread of the host, which keeps its memory from launch to launch.
Worker& begin_worker(Work& work) {
  static thread_local Worker w;
  static const bool once = (announce_at_death(), true);
  (void)once;
  worker = &w;
  w.settings = settings();
  w.launch = &work.launch;
  w.grid = &work.grid;
  w.error.clear();
  w.tally = {};
  return w;
}

/// Runs units on this thread of the host until none is left, or for so long.
void run_units(Work& work, std::chrono::microseconds patience) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + patience;
  Worker& w = begin_worker(work);
  try {
    for (int64_t unit; w.error.empty() && (unit = work.next++) < work.units;) {
      run_unit(w, unit);
      if (Clock::now() > end) break;
    }
  } catch (const std::exception& e) {  // of the host: memory has run out
    w.error = e.what();
  }
  if (!w.error.empty()) work.next = work.units;
  const std::lock_guard lock(ledger_lock);
  add(work.launch.name, w.tally);
  if (work.error.empty()) work.error = w.error;
}

}  // namespace

Settings& settings() {
  static Settings s;
  return s;
}

void check_geometry(const Launch& l) {
  const Gpu& g = settings().gpu;
  const int64_t threads = int64_t(l.block.x) * l.block.y * l.block.z;
  check(threads >= 1 && threads <= 1024, l.name, ": a block has 1 to 1024 threads, got ", threads);
  check(l.block.z <= 64, l.name, ": a block has at most 64 threads in z, got ", l.block.z);
  check(l.grid.x >= 1 && l.grid.y >= 1 && l.grid.z >= 1, l.name, ": an empty grid");
  check(l.grid.x <= 0x7fffffffu && l.grid.y <= 65535 && l.grid.z <= 65535, l.name,
        ": a grid has at most 2^31-1, 65535, 65535 blocks, got ", l.grid.x, ", ", l.grid.y, ", ",
        l.grid.z);
  check(l.shared_bytes >= 0 && l.shared_bytes <= g.shared_per_block, l.name, ": expected at most ",
        g.shared_per_block, " bytes of shared memory on ", g.name, ", got ", l.shared_bytes);
  check_cluster(l);
  const int64_t blocks = int64_t(l.grid.x) * l.grid.y * l.grid.z;
  const int64_t resident = resident_blocks(l, threads);
  check(!l.cooperative || blocks <= resident, l.name, ": a cooperative grid has at most ", resident,
        " such blocks on ", g.name, ", got ", blocks);
}

void run(const Launch& l) {
  check(!here, l.name, ": a kernel cannot launch another");
  check_geometry(l);
  const dim3 box = unit_of(l);
  const int64_t units = int64_t(l.grid.x / box.x) * (l.grid.y / box.y) * (l.grid.z / box.z);
  {
    const std::lock_guard lock(ledger_lock);
    log_kernel(l);
    add(l.name, {});
    ++ledger[l.name].count;
  }
  // Waking the other threads of the host costs up to 200 microseconds: most launches are shorter.
  constexpr std::chrono::microseconds forever = std::chrono::hours(1000), short_while(200);
  const int asked = settings().threads;
  const int threads = int(std::min<int64_t>(asked ? asked : omp_get_max_threads(), units));
  Work work{l, units};
  if (!asked || threads == 1) run_units(work, threads == 1 ? forever : short_while);
#pragma omp parallel num_threads(threads) if (work.next < units)
  if (work.next < units) run_units(work, forever);
  check(work.error.empty(), l.name, ": ", work.error);
}

std::vector<Launches> launches() {
  const std::lock_guard lock(ledger_lock);
  std::vector<Launches> all;
  for (const auto& [name, sum] : ledger) all.push_back(sum);
  return all;
}

void forget_launches() {
  const std::lock_guard lock(ledger_lock);
  ledger.clear();
}

bool watches_races() { return race::on; }

}  // namespace kinema::kernels::device::emulation
