#include "tests/mutation_device_test.h"
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>
#include "tests/support/device_check.h"

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

/// By which means a fault is caught: what the outcome (see below) holds in the optimised build, and
/// in that of the race detector; nullptr where that build may miss it, or would do harm. What the
/// sanitizers stop says so in `sanitizers`; the rest they catch as the optimised build does.
struct Mutant {
  const char* name;
  Subject (*subject)();
  Fault fault;
  const char *optimised, *race, *sanitizers = nullptr;
};

constexpr const char* wrong = "wrong values";
constexpr const char* right = "right";

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
     "deadlock", "deadlock"},
    {"padding off by one", stencil, Fault::padding_off_by_one, wrong, wrong},
    {"unguarded load", stencil, Fault::unguarded_load, nullptr, "outside of every allocation",
     "heap-buffer-overflow"},
    {"unguarded store", stencil, Fault::unguarded_store, nullptr, "outside of every allocation",
     "heap-buffer-overflow"},
    {"index of shared memory off by one", stencil, Fault::shared_index_off_by_one, nullptr,
     "outside of shared memory", "index 66 out of bounds"},
};

/// True where a sanitizer ends the program.
bool deadly(const Mutant& m) { return sanitized && m.sanitizers; }

/// `right`, `wrong`, or the text of the error that the launch throws.
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
  const std::string report = refusal_of([&] {
    (*program)(stream, fault, source.get(), target.get());
    run.runtime->synchronize(stream);
  });
  if (!report.empty()) return report;
  run.runtime->download(stream, target.get(), out.data(), out_bytes);
  return out == s.wanted ? right : wrong;
}

std::vector<DeviceRun> every_run(int random) {
  std::vector<DeviceRun> runs = device_runs();
  for (const DeviceRun& r : random_runs(small() ? 1 : random)) runs.push_back(r);
  return runs;
}

TEST(Mutation, ProgramsWithoutFaultAreRight) {
  for (auto subject : {block_sum, warp_exchange, histogram, hand_over, grid_sum, stencil}) {
    const Subject s = subject();
    for (const DeviceRun& run : every_run(20))
      EXPECT_EQ(outcome(run, s, Fault::none), right) << s.name << " on " << run.name;
  }
}

TEST(Mutation, EveryFaultIsCaught) {
  if (device_runs()[0].backend == Backend::cuda) GTEST_SKIP() << "faults are for the emulation";
  for (const Mutant& m : mutants) {
    EXPECT_TRUE(m.optimised || m.race || m.sanitizers) << m.name << ": nobody catches it";
    const char* wanted = small() ? m.race : m.optimised;
    if (!wanted || deadly(m)) continue;
    const Subject s = m.subject();
    int caught = 0, runs = 0;
    std::string seen;
    for (const DeviceRun& run : every_run(5)) {
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

/// In programs of their own, which the sanitizer ends.
TEST(MutationDeathTest, StrayingAccessesAreCaught) {
  if (!sanitized) GTEST_SKIP() << "for the build with the address sanitizer";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const Mutant& m : mutants) {
    if (!deadly(m)) continue;
    EXPECT_DEATH(outcome(device_runs()[0], m.subject(), m.fault), m.sanitizers) << m.name;
    std::printf("%-38s caught by a sanitizer: %s\n", m.name, m.sanitizers);
  }
}

}  // namespace
}  // namespace kinema::test
