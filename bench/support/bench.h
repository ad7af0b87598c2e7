#pragma once
#include <benchmark/benchmark.h>
#include <sstream>
#include <string>
#include "engine/tensor.h"

namespace kinema::bench {

/// "operation.pass/backend/detail": names that filter well.
template <class... Parts>
std::string name(const std::string& pass, kernels::Backend backend, const Parts&... detail) {
  std::ostringstream text;
  text << pass << '/' << backend << '/';
  (text << ... << detail);
  return text.str();
}

/// Uniform in [-1, 1), the same on every run.
inline engine::Tensor random(const kernels::Shape& shape,
                             kernels::Dtype dtype = kernels::Dtype::f32) {
  engine::Tensor t = engine::empty(shape, dtype);
  uint64_t state = 1;
  const kernels::RowOffsets offset(t.layout);
  for (int64_t r = 0; t.size() && r < offset.rows(); ++r)
    for (int64_t i = 0; i < shape[-1]; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      kernels::dispatch_float("bench", dtype, [&]<class T>(T) {
        engine::data<T>(t)[offset(r) + i] = T(double(state >> 11) * 0x1p-52 - 1);
      });
    }
  return t;
}

/// Registers a benchmark of `call`. `bytes` is the floor: each input read once, each output written
/// once; `flop` counts two for a multiply-add. Both become rates beside the time.
template <class F>
void add(const std::string& name, double bytes, double flop, F call) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 for (auto _ : state) call();
                                 using benchmark::Counter;
                                 const auto rate = Counter::kIsIterationInvariantRate;
                                 state.counters["floor_bytes/s"] = Counter(bytes, rate);
                                 if (flop > 0) state.counters["FLOP/s"] = Counter(flop, rate);
                               })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

/// Runs what add() registered.
inline int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace kinema::bench
