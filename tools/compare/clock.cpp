#include "tools/compare/clock.h"
#include <algorithm>
#include <chrono>
#include "tools/compare/arrays.h"

namespace kinema::tools::compare {

namespace {

constexpr int rounds = 30, warm_up = 3, most_calls = 10;

/// One contender with its sets of tensors, which are used in turn, so that what the L2 cache keeps
/// from the last call is of no use to the next.
class Runner {
 public:
  Runner(const Trial& t, const void* op, Backend b) : trial_(t), op_(op), runtime_(runtime_of(b)) {
    const std::vector<Array> operands = operands_of(t, b);
    int64_t bytes = 1;
    for (const Array& a : operands) bytes += int64_t(a.memory->size());
    const int64_t enough = runtime_ ? 3 * runtime_->gpu().l2_bytes : 0;
    for (int64_t i = 0; i < std::clamp<int64_t>(enough / bytes + 1, 1, 16); ++i)
      sets_.emplace_back(operands, b);
    for (int i = 0; i < warm_up; ++i) calls_ = calls_for(seconds());
  }
  /// Of one call.
  double seconds() {
    if (runtime_)
      return runtime_->seconds(
                 {}, [](void* r) { static_cast<Runner*>(r)->call(); }, this) /
             calls_;
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    call();
    return std::chrono::duration<double>(Clock::now() - start).count() / calls_;
  }

 private:
  /// Several calls in a round: the clock's own step is some 0.5 us (cudaEventElapsedTime).
  static int calls_for(double one) { return one > 1e-3 ? 1 : most_calls; }
  void call() {
    for (int i = 0; i < calls_; ++i) trial_.run(op_, {}, sets_[next_++ % sets_.size()].views());
  }

  const Trial& trial_;
  const void* op_;
  const kernels::Runtime* runtime_;
  std::vector<Tensors> sets_;
  size_t next_ = 0;
  int calls_ = 1;
};

}  // namespace

std::vector<Timing> times_of(const Trial& t,
                             const std::vector<std::pair<const void*, Backend>>& who) {
  std::vector<Runner> runners;
  for (const auto& [op, backend] : who) runners.emplace_back(t, op, backend);
  std::vector<std::vector<double>> all(who.size());
  for (int round = 0; round < rounds; ++round)
    for (size_t i = 0; i < who.size(); ++i) all[i].push_back(runners[i].seconds());
  std::vector<Timing> times;
  for (std::vector<double>& seconds : all) {
    std::sort(seconds.begin(), seconds.end());
    times.push_back({(seconds[rounds / 2 - 1] + seconds[rounds / 2]) / 2, seconds[rounds / 10],
                     seconds[rounds - 1 - rounds / 10]});
  }
  return times;
}

}  // namespace kinema::tools::compare
