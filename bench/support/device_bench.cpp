// Times every hand-written kernel against its floor, the longer of two times: its bytes at the rate
// at which this machine copies, its FLOP at the rate that bench/support/device_bench.h states.
// gpu_bench [WORD...] runs the rows whose names hold one of the words.
#include "bench/support/device_bench.h"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <sstream>

namespace kinema::bench {

const std::vector<const DeviceBench*>& device_benches();
extern const Settings default_settings;
extern const kernels::Runtime& the_runtime;

View Memory::empty(const Shape& shape, Dtype type) {
  View v = kernels::fresh_layout(type, shape);
  kept_.emplace_back(runtime_.allocate(span(v) * size_of(type)), runtime_.release);
  v.data = kept_.back().get();
  return v;
}

namespace {

/// Fills a host copy of v by value(i) and sends it to the device.
template <class F>
void fill(const kernels::Runtime& runtime, const View& v, F value) {
  const int64_t bytes = span(v) * size_of(v.dtype);
  std::vector<char> host(size_t(bytes), 0);
  kernels::dispatch_any(v.dtype, [&]<class T>(T) {
    T* to = reinterpret_cast<T*>(host.data());
    const kernels::RowOffsets offset(v);
    for (int64_t r = 0; v.size() && r < offset.rows(); ++r)
      for (int64_t c = 0; c < v.shape[-1]; ++c) to[offset(r) + c] = T(value());
  });
  if (bytes) runtime.upload({}, host.data(), v.data, bytes);
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct Timing {
  double seconds, low, high;  ///< median, tenth and ninetieth percentile
};

/// The time of one call, from 30 rounds of ten. The sets of tensors are used in turn, so that what
/// the L2 cache keeps from the last call is of no use to the next.
Timing time_of(const kernels::Runtime& runtime, const std::vector<Work>& sets) {
  struct Round {
    const std::vector<Work>& sets;
    size_t next = 0;
  } round{sets};
  constexpr int calls = 10;
  const auto run = [](void* context) {
    auto& r = *static_cast<Round*>(context);
    for (int i = 0; i < calls; ++i) r.sets[r.next++ % r.sets.size()]({});
  };
  for (int i = 0; i < 3; ++i) runtime.seconds({}, run, &round);
  std::vector<double> all;
  for (int i = 0; i < 30; ++i) all.push_back(runtime.seconds({}, run, &round) / calls);
  std::sort(all.begin(), all.end());
  return {median(all), all[3], all[27]};
}

/// Sets of tensors that together exceed the L2 cache three times.
int64_t sets_for(const kernels::Runtime& runtime, int64_t bytes) {
  const int64_t enough = 3 * runtime.gpu().l2_bytes;
  return std::clamp<int64_t>((enough + bytes - 1) / std::max<int64_t>(bytes, 1), 1, 16);
}

/// Bytes per second, read and written, of the driver's own copy on the device.
double copy_rate(const kernels::Runtime& runtime, int64_t bytes) {
  std::shared_ptr<void> from(runtime.allocate(bytes), runtime.release),
      to(runtime.allocate(bytes), runtime.release);
  const Work copy = [&](Stream s) { runtime.copy(s, from.get(), to.get(), bytes); };
  return 2 * double(bytes) / time_of(runtime, {copy}).seconds;
}

bool asked_for(const std::string& name, int count, char** words) {
  if (count < 2) return true;
  return std::any_of(words + 1, words + count,
                     [&](const char* w) { return name.find(w) != std::string::npos; });
}

int run(int count, char** words) {
  const Settings& s = default_settings;
  const kernels::Runtime& runtime = the_runtime;
  if (runtime.devices() < 1) {
    std::fprintf(stderr, "gpu_bench: no GPU is at hand\n");
    return 1;
  }
  const double rate = s.small ? 0 : copy_rate(runtime, int64_t(1) << 30);
  if (!s.small)
    std::printf("%s, copies at %.0f GB/s (read and written)\n%-64s %10s %19s %9s %8s %8s\n",
                runtime.gpu().name, rate * 1e-9, "kernel", "us", "10 % .. 90 %", "GB/s", "TFLOP/s",
                "of floor");
  int rows = 0, slow = 0;
  for (const DeviceBench* bench : device_benches()) {
    for (const Case& c : bench->cases(s)) {
      if (!asked_for(c.name, count, words)) continue;
      ++rows;
      Memory memory(runtime);
      std::vector<Work> sets;
      const int64_t copies = s.small ? 1 : sets_for(runtime, c.floor_bytes);
      for (int64_t i = 0; i < copies; ++i) sets.push_back(c.make(memory));
      if (s.small) {
        sets[0]({});
        runtime.synchronize({});
        continue;
      }
      const Timing t = time_of(runtime, sets);
      const double floor =
          std::max(double(c.floor_bytes) / rate, c.flop ? c.flop / c.flop_rate : 0);
      slow += floor < 0.85 * t.seconds;
      std::printf("%-64s %10.1f %8.1f .. %7.1f %9.0f %8.1f %7.1f%%\n", c.name.c_str(),
                  t.seconds * 1e6, t.low * 1e6, t.high * 1e6,
                  double(c.floor_bytes) / t.seconds * 1e-9, c.flop / t.seconds * 1e-12,
                  100 * floor / t.seconds);
      std::fflush(stdout);
    }
  }
  if (s.small)
    std::printf("%d benchmarks ran\n", rows);
  else
    std::printf("%d of %d rows take longer than 1/0.85 of their floor\n", slow, rows);
  return rows ? 0 : 1;
}

}  // namespace

View Memory::random(const Shape& shape, Dtype type) {
  const View v = empty(shape, type);
  std::mt19937 source(uint32_t(seed_++));
  std::normal_distribution<float> normal;
  // Numbers repeat after 64 Ki: making them must not take longer than the benchmark.
  std::vector<float> numbers(1 << 16);
  for (float& n : numbers) n = normal(source);
  size_t next = 0;
  fill(runtime_, v, [&] { return numbers[next++ & 0xffff]; });
  return v;
}

View Memory::labels(const Shape& shape, Dtype type, int64_t below) {
  const View v = empty(shape, type);
  std::mt19937_64 source(seed_++);
  fill(runtime_, v, [&] { return int64_t(source() % uint64_t(below)); });
  return v;
}

std::string describe(Dtype type, const Shape& shape) {
  std::ostringstream text;
  text << type << " " << shape;
  return text.str();
}

}  // namespace kinema::bench

int main(int count, char** words) {
  try {
    return kinema::bench::run(count, words);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
