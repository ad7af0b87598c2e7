// Benchmarks of every operation, pass, type and backend, named operation.pass/type/backend/layer,
// from the trials of tools/compare. trial_bench times the CPU, gpu_bench a GPU. Beside Google
// Benchmark's own options:
//   --shapes=cases|suite|headline|FILE.csv|"x=..."   see tools/compare/trial.h
//   --size=small|full                                full, on a CPU small
//   --serve                                          answers requests, see serve.h
#include <benchmark/benchmark.h>
#include <iostream>
#include "bench/trials/serve.h"
#include "tools/compare/arrays.h"
#include "tools/compare/clock.h"

namespace kinema::bench {

namespace {

using tools::compare::Precision, tools::compare::Request, tools::compare::Size,
    tools::compare::Timing, tools::compare::Trial, tools::compare::Trials;

struct Settings {
  std::string shapes = "cases", size;
  bool serve = false, list = false;
};

/// Takes this program's own options out of the words.
Settings settings_from(int& count, char** words) {
  Settings s;
  int kept = 1;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word.starts_with("--shapes="))
      s.shapes = word.substr(9);
    else if (word.starts_with("--size="))
      s.size = word.substr(7);
    else if (word == "--serve")
      s.serve = true;
    else
      words[kept++] = words[i];
    s.list = s.list || word.starts_with("--benchmark_list_tests");
  }
  count = kept;
  words[count] = nullptr;
  return s;
}

/// One iteration is one whole measurement, whose median is its time.
void measure(benchmark::State& state, const Trial& trial, const void* op, Backend backend) {
  for (auto _ : state) {
    try {
      const Timing t = tools::compare::times_of(trial, {{op, backend}})[0];
      kernels::check(t.seconds > 0, kernels::name_of(backend), " has no plan that runs");
      state.SetIterationTime(t.seconds);
      state.counters["low_us"] = t.low * 1e6;
      state.counters["high_us"] = t.high * 1e6;
      if (trial.flop > 0) state.counters["TFLOP/s"] = trial.flop / t.seconds * 1e-12;
      state.counters["TB/s"] = double(trial.bytes()) / t.seconds * 1e-12;
      // The floor is an H200's: on a CPU its share says nothing.
      if (backend != Backend::cpu) state.counters["floor_%"] = 100 * trial.floor() / t.seconds;
    } catch (const kernels::Error& e) {
      state.SkipWithError(e.what());
    }
  }
}

void add(const Trials& op, const Trial& trial) {
  for (const Backend backend : timed_backends()) {
    const void* const constant = op.constant(backend);
    if (!constant || !trial.offers(constant)) continue;
    std::string layer = trial.name.empty() ? trial.shape : trial.name;
    for (char& c : layer)
      if (c == ' ' || c == '/') c = '_';
    const std::string name = std::string(op.operation) + "." + trial.pass + "/" +
                             name_of(trial.precision) + "/" + kernels::name_of(backend) + "/" +
                             layer;
    benchmark::RegisterBenchmark(
        name.c_str(), [=](benchmark::State& state) { measure(state, trial, constant, backend); })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMicrosecond);
  }
}

Size size_from(const std::string& text) {
  if (text.empty()) return timed_backends()[0] == Backend::cpu ? Size::small : Size::full;
  kernels::check(text == "small" || text == "full", "--size: expected small or full, got ", text);
  return text == "small" ? Size::small : Size::full;
}

/// A shape by hand belongs to whatever operations take it. Errors: none does.
void add_all(Request request) {
  std::string refusal;
  bool taken = false;
  for (const Trials* op : tools::compare::trials())
    for (const Precision p : {Precision::f32, Precision::tf32, Precision::bf16, Precision::f16})
      try {
        request.precision = p;
        for (const Trial& trial : op->make(request)) {
          add(*op, trial);
          taken = true;
        }
      } catch (const kernels::Error& e) {
        if (!request.by_hand()) throw;
        refusal = e.what();
      }
  kernels::check(taken, "--shapes: no operation takes ", request.shapes, "; ", refusal);
}

int run(int count, char** words) {
  const Settings s = settings_from(count, words);
  const bool gpu = timed_backends()[0] == Backend::cuda;
  if (gpu && !s.list && kernels::runtime_cuda.devices() < 1)
    kernels::fail("gpu_bench: ", kernels::runtime_cuda.missing());
  if (s.serve) return serve(std::cin, std::cout);
  const Request request{.size = size_from(s.size), .shapes = s.shapes};
  add_all(request);
  benchmark::Initialize(&count, words);
  if (benchmark::ReportUnrecognizedArguments(count, words)) return 2;
  return benchmark::RunSpecifiedBenchmarks() ? 0 : 1;
}

}  // namespace

}  // namespace kinema::bench

int main(int count, char** words) {
  try {
    return kinema::bench::run(count, words);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
