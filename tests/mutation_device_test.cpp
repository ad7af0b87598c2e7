#include "tests/mutation_device_test.h"
#include <bit>
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>
#include "tests/support/conformance.h"

// The emulation is only worth what it catches: small programs with one fault each, and by which
// means each build catches it. Without a fault each program is right and nothing is reported.

namespace kinema::test {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

/// A program with what goes in and what must come out.
struct Subject {
  std::string name;
  const Program* cuda;
  const Program* emulated;
  std::vector<char> in;
  std::vector<float> wanted;
  bool sm90 = false;  ///< needs instructions of sm_90
};

template <class T>
std::vector<char> bytes_of(const std::vector<T>& v) {
  std::vector<char> bytes(v.size() * sizeof(T));
  std::memcpy(bytes.data(), v.data(), bytes.size());
  return bytes;
}

/// 1, 2, 3...: sums of them are exact in every order.
std::vector<float> counting(size_t count) {
  std::vector<float> v(count);
  std::iota(v.begin(), v.end(), 1.0f);
  return v;
}

Subject block_sum() {
  const std::vector<float> in = counting(sum_threads * sum_rounds);
  std::vector<float> wanted;
  for (int round = 0; round < sum_rounds; ++round) {
    const auto first = in.begin() + round * sum_threads;
    wanted.insert(wanted.end(), sum_threads, std::accumulate(first, first + sum_threads, 0.0f));
  }
  return {"block_sum", &block_sum_cuda, &block_sum_emulated, bytes_of(in), wanted};
}

Subject warp_exchange() {
  const std::vector<float> in = counting(exchange_threads);
  std::vector<float> wanted;
  for (size_t t = 0; t < in.size(); ++t) wanted.push_back(in[t / 32 * 32 + 31 - t % 32]);
  return {"warp_exchange", &warp_exchange_cuda, &warp_exchange_emulated, bytes_of(in), wanted};
}

Subject histogram() {
  std::vector<int> in;
  std::vector<float> wanted(histogram_bins, 0.0f);
  for (int t = 0; t < histogram_threads; ++t) in.push_back(t * t % 11 % histogram_bins);
  for (int bin : in) ++wanted[size_t(bin)];
  return {"histogram", &histogram_cuda, &histogram_emulated, bytes_of(in), wanted};
}

Subject hand_over() {
  const std::vector<float> in = counting(32 * hand_over_steps);
  std::vector<float> wanted;
  for (size_t i = 0; i < in.size(); ++i) wanted.push_back(in[i / 32 * 32 + 31 - i % 32]);
  return {"hand_over", &hand_over_cuda, &hand_over_emulated, bytes_of(in), wanted};
}

Subject grid_sum() {
  const std::vector<float> in = counting(grid_sum_blocks * grid_sum_threads);
  float sum = 0;  // each block leaves the sum of its last warp
  for (size_t i = 0; i < in.size(); ++i) sum += i / 32 % 2 ? in[i] : 0.0f;
  return {"grid_sum", &grid_sum_cuda, &grid_sum_emulated, bytes_of(in), {sum}};
}

Subject two_passes() {
  const std::vector<float> in = counting(two_passes_blocks * 32);
  return {"two_passes", &two_passes_cuda, &two_passes_emulated, bytes_of(in),
          std::vector<float>(in.rbegin(), in.rend())};
}

Subject stencil() {
  const size_t width = stencil_width;
  const std::vector<float> in = counting(stencil_rows * width);
  std::vector<float> wanted;
  for (size_t i = 0; i < in.size(); ++i) {
    const float left = i % width ? in[i - 1] : 0, right = (i + 1) % width ? in[i + 1] : 0;
    wanted.push_back(left + 2 * in[i] + 3 * right);
  }
  return {"stencil", &stencil_cuda, &stencil_emulated, bytes_of(in), wanted};
}

/// Small integers as bf16, which has them in its upper half: a [m][k], then b.
std::vector<uint16_t> factors(size_t count) {
  std::vector<uint16_t> v(count);
  for (size_t i = 0; i < count; ++i)
    v[i] = uint16_t(std::bit_cast<uint32_t>(float(int(i * 7 % 17) - 8)) >> 16);
  return v;
}
float number(uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }

/// a [m][k] times b [k][n], or b [n][k] transposed.
std::vector<float> multiplied(const std::vector<uint16_t>& in, size_t m, size_t n, size_t k,
                              bool transposed) {
  const uint16_t *a = in.data(), *b = a + m * k;
  std::vector<float> c(m * n, 0.0f);
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j)
      for (size_t l = 0; l < k; ++l)
        c[i * n + j] += number(a[i * k + l]) * number(transposed ? b[j * k + l] : b[l * n + j]);
  return c;
}

Subject product() {
  const size_t m = product_rows, n = product_columns, k = product_depth;
  const std::vector<uint16_t> in = factors(m * k + k * n);
  return {"product", &product_cuda, &product_emulated, bytes_of(in),
          multiplied(in, m, n, k, false)};
}

Subject staged_product() {
  const size_t n = staged_size;
  const std::vector<uint16_t> in = factors(2 * n * n);
  return {"staged_product", &staged_product_cuda,          &staged_product_emulated,
          bytes_of(in),     multiplied(in, n, n, n, true), true};
}

Subject pipeline() {
  const size_t m = pipeline_rows, n = pipeline_columns, k = pipeline_depth;
  const std::vector<uint16_t> in = factors(m * k + k * n);
  return {
      "pipeline", &pipeline_cuda, &pipeline_emulated, bytes_of(in), multiplied(in, m, n, k, true),
      true};
}

Subject tile_store() {
  const std::vector<float> in = counting(store_tiles * store_tile_rows * store_row_floats);
  std::vector<float> wanted;
  for (float v : in) wanted.push_back(2 * v);
  return {"tile_store", &tile_store_cuda, &tile_store_emulated, bytes_of(in), wanted, true};
}

Subject multicast() {
  const std::vector<float> in = counting(cluster_pair_floats);
  std::vector<float> wanted = in;
  wanted.insert(wanted.end(), in.begin(), in.end());
  return {"multicast", &multicast_cuda, &multicast_emulated, bytes_of(in), wanted, true};
}

Subject neighbours() {
  const std::vector<float> in = counting(128);
  return {"neighbours",
          &neighbours_cuda,
          &neighbours_emulated,
          bytes_of(in),
          std::vector<float>(in.rbegin(), in.rend()),
          true};
}

constexpr Subject (*subjects[])() = {
    block_sum, warp_exchange, histogram,      hand_over,  grid_sum,  two_passes, stencil,
    product,   pipeline,      staged_product, tile_store, multicast, neighbours};

/// By which means a fault is caught: what the outcome (see below) holds in the optimised build, and
/// in that of the race detector; nullptr where that build may miss it, or would do harm. What the
/// sanitizers add says so in `sanitizers`; the rest their build catches as the optimised one does.
struct Mutant {
  const char* name;
  Subject (*subject)();
  Fault fault;
  const char *optimised, *race, *sanitizers = nullptr;
};

constexpr const char* wrong = "wrong values";
constexpr const char* right = "right";
constexpr const char* conflicts = "bank conflicts";

const Mutant mutants[] = {
    {"no barrier before the read", block_sum, Fault::no_barrier_before_read, wrong, " race"},
    {"no barrier before reuse", block_sum, Fault::no_barrier_before_reuse, wrong, "WAR race"},
    {"barrier in a divergent branch", block_sum, Fault::barrier_in_divergent_branch, wrong,
     "WAR race"},
    {"no __syncwarp", warp_exchange, Fault::no_syncwarp, wrong, " race"},
    {"no atomic", histogram, Fault::no_atomic, nullptr, " race"},
    {"named barrier of too many threads", hand_over, Fault::too_few_at_named_barrier, "deadlock",
     "deadlock"},
    {"no named barrier before the refill", hand_over, Fault::no_named_barrier_before_refill,
     "has arrived already", "has arrived already"},
    {"no barrier before a block's arrival", grid_sum, Fault::no_barrier_before_arrival, nullptr,
     " race"},
    {"no fence before a block's arrival", grid_sum, Fault::no_fence_before_arrival, nullptr,
     " race"},
    {"no barrier of the grid", two_passes, Fault::no_grid_sync, wrong, " race"},
    {"grid that need not run at once", two_passes, Fault::not_cooperative, "grid_sync",
     "grid_sync"},
    {"padding off by one", stencil, Fault::padding_off_by_one, wrong, wrong},
    {"unguarded load", stencil, Fault::unguarded_load, nullptr, "outside of every allocation",
     "heap-buffer-overflow"},
    {"unguarded store", stencil, Fault::unguarded_store, nullptr, "outside of every allocation",
     "heap-buffer-overflow"},
    {"index of shared memory off by one", stencil, Fault::shared_index_off_by_one, nullptr,
     "outside of shared memory", "index 66 out of bounds"},
    {"blocks that overlap", stencil, Fault::blocks_overlap, nullptr, "WAW race"},
    {"wait for one group too few", product, Fault::one_group_too_many, wrong, " race"},
    {"no commit", product, Fault::no_commit, wrong, " race"},
    {"no barrier behind the wait", product, Fault::no_barrier_behind_wait, wrong, " race"},
    {"no barrier before the refill", product, Fault::no_barrier_before_refill, wrong, "WAR race"},
    {"last group left running", product, Fault::last_group_left_running, "cp_async in flight",
     " race"},
    {"ldmatrix without the swizzle", product, Fault::ldmatrix_without_swizzle, wrong, wrong},
    {"no swizzle at all", product, Fault::no_swizzle_at_all, conflicts, conflicts},
    {"unguarded copy", product, Fault::unguarded_copy, nullptr, "outside of every allocation",
     "goes out of bounds"},
    {"no fence behind mbarrier_init", pipeline, Fault::no_fence_behind_init, "fence_mbarrier_init",
     "fence_mbarrier_init"},
    {"no barrier behind mbarrier_init", pipeline, Fault::no_barrier_behind_init, nullptr, " race"},
    {"wrong byte count", pipeline, Fault::wrong_byte_count, "deadlock", "deadlock"},
    {"tensor map without the swizzle", pipeline, Fault::map_without_swizzle, wrong, wrong},
    {"producer skips the empty barrier", pipeline, Fault::producer_skips_empty, "more arrivals",
     "more arrivals"},
    {"consumer skips the full barrier", pipeline, Fault::consumer_skips_full, "more arrivals",
     " race"},
    {"parity never flips", pipeline, Fault::parity_never_flips, "more arrivals", " race"},
    {"stage freed before the wait", pipeline, Fault::stage_freed_early, nullptr, " race"},
    {"stages never freed", pipeline, Fault::stages_never_freed, "deadlock", "deadlock"},
    {"no wgmma_fence", pipeline, Fault::no_wgmma_fence, "wgmma_fence", "wgmma_fence"},
    {"sums read before the wait", pipeline, Fault::sums_read_before_wait, wrong, wrong},
    {"no proxy fence before wgmma", staged_product, Fault::no_proxy_fence_before_wgmma, nullptr,
     "fence_proxy_async"},
    {"no barrier before wgmma", staged_product, Fault::no_barrier_before_wgmma, nullptr, " race"},
    {"no proxy fence before a store", tile_store, Fault::no_proxy_fence_before_store, nullptr,
     "fence_proxy_async"},
    {"no barrier before a store", tile_store, Fault::no_barrier_before_store, wrong, " race"},
    {"buffer reused before it is read", tile_store, Fault::buffer_reused_before_read, wrong,
     " race"},
    {"store left running", tile_store, Fault::store_left_running, "bulk_wait_read",
     "bulk_wait_read"},
    {"no barrier of the cluster at the start", multicast, Fault::no_cluster_sync_at_start,
     "there is no mbarrier", "there is no mbarrier"},
    {"multicast misses a block", multicast, Fault::multicast_misses_a_block, "deadlock",
     "deadlock"},
    {"no barrier of the cluster before a read", neighbours, Fault::no_cluster_sync_before_read,
     wrong, " race"},
    {"block leaves its neighbours early", neighbours, Fault::no_cluster_sync_at_end, "has ended",
     "has ended"},
};

/// `right`, `wrong`, right with so many bank conflicts, or the text of the error that is thrown.
std::string outcome(const DeviceRun& run, const Subject& s, Fault fault) {
  const std::shared_ptr<void> inside = run.enter();
  const Stream stream{};
  const Program* program = run.backend == Backend::cuda ? s.cuda : s.emulated;
  std::vector<float> out(s.wanted.size());
  std::memset(out.data(), 0xff, out.size() * sizeof(float));
  const auto in_bytes = int64_t(s.in.size()), out_bytes = int64_t(out.size() * sizeof(float));
  const std::shared_ptr<void> source(run.runtime->allocate(in_bytes), run.runtime->release);
  const std::shared_ptr<void> target(run.runtime->allocate(out_bytes), run.runtime->release);
  run.runtime->upload(stream, s.in.data(), source.get(), in_bytes);
  run.runtime->upload(stream, out.data(), target.get(), out_bytes);
  std::string report;
  const int64_t met = bank_conflicts([&] {
    report = refusal_of([&] {
      (*program)(stream, fault, source.get(), target.get());
      run.runtime->synchronize(stream);
    });
  });
  if (!report.empty()) return report;
  run.runtime->download(stream, target.get(), out.data(), out_bytes);
  if (out != s.wanted) return wrong;
  return met ? std::to_string(met) + " bank conflicts" : right;
}

/// Those that can run s: the usual ones, and `random` more.
std::vector<DeviceRun> runs_of(const Subject& s, int random) {
  std::vector<DeviceRun> runs = device_runs();
  for (const DeviceRun& r : random_runs(small() ? 1 : random)) runs.push_back(r);
  std::erase_if(runs, [&](const DeviceRun& r) { return s.sm90 && !has_sm90(r); });
  return runs;
}

TEST(Mutation, ProgramsWithoutFaultAreRight) {
  for (auto subject : subjects) {
    const Subject s = subject();
    for (const DeviceRun& run : runs_of(s, 10))
      EXPECT_EQ(outcome(run, s, Fault::none), right) << s.name << " on " << run.name;
  }
}

TEST(Mutation, EveryFaultIsCaught) {
  if (device_runs()[0].backend == Backend::cuda) GTEST_SKIP() << "faults are for the emulation";
  for (const Mutant& m : mutants) {
    EXPECT_TRUE(m.optimised || m.race || m.sanitizers) << m.name << ": nobody catches it";
    const char* wanted = small() ? m.race : m.optimised;
    if (!wanted) continue;
    const Subject s = m.subject();
    int caught = 0, runs = 0;
    std::string seen;
    for (const DeviceRun& run : runs_of(s, 5)) {
      const std::string found = outcome(run, s, m.fault);
      const bool hit = found.find(wanted) != std::string::npos;
      if (hit ? !caught : seen.empty()) seen = run.name + ": " + found;
      caught += hit;
      ++runs;
    }
    EXPECT_GT(caught, 0) << m.name << ": expected " << wanted << ", got " << seen;
    std::printf("%-38s caught by %d of %d runs  %s\n", m.name, caught, runs,
                seen.substr(0, 150).c_str());
  }
}

[[noreturn]] void say_and_die(const std::string& outcome) {
  std::fputs(outcome.c_str(), stderr);
  std::abort();
}

/// In programs of their own, which most of these end.
TEST(MutationDeathTest, SanitizersCatchWhatStraysOutOfBounds) {
  if (!sanitized) GTEST_SKIP() << "for the build with the sanitizers";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const Mutant& m : mutants) {
    if (!m.sanitizers) continue;
    EXPECT_DEATH(say_and_die(outcome(device_runs()[0], m.subject(), m.fault)), m.sanitizers)
        << m.name;
    std::printf("%-38s caught by the sanitizers: %s\n", m.name, m.sanitizers);
  }
}

}  // namespace
}  // namespace kinema::test
