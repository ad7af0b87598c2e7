#include "tools/compare/clock.h"
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include "kernels/conv3d/conv3d_cudnn.h"
#include "tools/compare/arrays.h"

namespace kinema::tools::compare {

namespace {

constexpr int rounds = 30, warm_up = 3, most_calls = 10;

/// Memory that the GPU clears before each round, for some 0.3 ms of an H200: meanwhile the host
/// puts the round's calls into the stream, so that kernels are timed and not their launches.
class HeadStart {
 public:
  explicit HeadStart(const kernels::Runtime& runtime)
      : runtime_(runtime), memory_(runtime.allocate(bytes), runtime.release) {}
  void give() const { runtime_.clear({}, memory_.get(), bytes); }

 private:
  static constexpr int64_t bytes = int64_t(1) << 30;
  const kernels::Runtime& runtime_;
  std::shared_ptr<void> memory_;
};

/// Sets of a trial's tensors, which are used in turn, so that what the L2 cache keeps from the last
/// call is of no use to the next.
std::vector<Tensors> sets_of(const Trial& t, Backend backend) {
  const std::vector<Array> operands = operands_of(t, backend);
  int64_t bytes = 1;
  for (const Array& a : operands) bytes += int64_t(a.memory->size());
  const kernels::Runtime* runtime = runtime_of(backend);
  const int64_t enough = runtime ? 3 * runtime->gpu().l2_bytes : 0;
  std::vector<Tensors> sets;
  for (int64_t i = 0; i < std::clamp<int64_t>(enough / bytes + 1, 1, 16); ++i)
    sets.emplace_back(operands, backend);
  return sets;
}

/// One contender with the sets of its backend.
class Runner {
 public:
  Runner(const Trial& t, const Entry& e, const std::vector<Tensors>& sets,
         const HeadStart* head_start)
      : trial_(t),
        entry_(e),
        sets_(sets),
        runtime_(runtime_of(e.backend)),
        head_start_(head_start) {
    for (int i = 0; i < warm_up; ++i) calls_ = calls_for(seconds());
  }
  /// Of one call.
  double seconds() {
    if (runtime_) {
      head_start_->give();
      return runtime_->seconds(
                 {}, [](void* r) { static_cast<Runner*>(r)->call(); }, this) /
             calls_;
    }
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    call();
    return std::chrono::duration<double>(Clock::now() - start).count() / calls_;
  }

 private:
  /// Several calls in a round: the clock's own step is some 0.5 us (cudaEventElapsedTime).
  static int calls_for(double one) { return one > 1e-3 ? 1 : most_calls; }
  void call() {
    const kernels::Conv3dCudnnRankScope scope(entry_.rank);
    for (int i = 0; i < calls_; ++i)
      trial_.run(entry_.op, {}, sets_[next_++ % sets_.size()].views());
  }

  const Trial& trial_;
  Entry entry_;
  const std::vector<Tensors>& sets_;
  const kernels::Runtime* runtime_;
  const HeadStart* head_start_;  ///< on a GPU
  size_t next_ = 0;
  int calls_ = 1;
};

}  // namespace

std::vector<Timing> times_of(const Trial& t, const std::vector<Entry>& entries) {
  std::optional<HeadStart> head_start;
  for (const Entry& e : entries)
    if (const kernels::Runtime* r = runtime_of(e.backend); r && !head_start) head_start.emplace(*r);
  std::map<Backend, std::vector<Tensors>> sets;  // cuDNN's plans share theirs
  for (const Entry& e : entries)
    if (!sets.contains(e.backend)) sets.emplace(e.backend, sets_of(t, e.backend));
  std::vector<std::optional<Runner>> runners(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) try {
      const Entry& e = entries[i];
      runners[i].emplace(t, e, sets.at(e.backend), head_start ? &*head_start : nullptr);
    } catch (const kernels::Unsupported&) {
      runners[i].reset();  // a plan that cuDNN ranks but does not run
    }
  std::vector<std::vector<double>> all(entries.size());
  for (int round = 0; round < rounds; ++round)
    for (size_t i = 0; i < entries.size(); ++i)
      if (runners[i]) all[i].push_back(runners[i]->seconds());
  std::vector<Timing> times(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    std::vector<double>& s = all[i];
    if (s.empty()) continue;
    std::sort(s.begin(), s.end());
    times[i] = {(s[rounds / 2 - 1] + s[rounds / 2]) / 2, s[rounds / 10],
                s[rounds - 1 - rounds / 10]};
  }
  return times;
}

}  // namespace kinema::tools::compare
