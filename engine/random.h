#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include "engine/tensor.h"

namespace kinema::engine {

/// Names one stream of random numbers: Philox on (key, stream).
struct RandomKey {
  uint64_t key = 0, stream = 0;
};

/// The stream of `place` (a module or parameter path) under `seed`.
RandomKey key_of(uint64_t seed, std::string_view place);

/// Where the draws of a RandomScope stand.
struct RandomState {
  uint64_t seed = 0, step = 0;
  /// i64 [1] that holds the step where operations draw; made where it is asked for, if not given.
  Tensor step_memory = {};
  std::map<std::string, uint64_t> calls = {};  ///< of each place so far
};
/// That of this thread's innermost scope; none outside of any.
std::optional<RandomState> random_state();

/// While it lives, operations of this thread draw from (seed, step): each draw is further told
/// apart by the running module's path and its call number, so that recomputation draws the same.
class RandomScope {
 public:
  RandomScope(uint64_t seed, uint64_t step) : RandomScope(RandomState{seed, step}) {}
  /// `step_memory`, i64 [1], holds the step on the device that draws, or will when it comes to
  /// that.
  RandomScope(uint64_t seed, uint64_t step, const Tensor& step_memory)
      : RandomScope(RandomState{seed, step, step_memory}) {}
  /// Goes on where `state` was taken.
  explicit RandomScope(RandomState state);
  ~RandomScope();
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;
};

/// The next draw of the running module: with the step its stream, kernels::stream_of_draw.
struct RandomDraw {
  uint64_t seed = 0, place = 0, call = 0;
  Tensor step;  ///< i64 [1] on the device that draws
};
/// Both throw Error outside of any RandomScope. The stream itself, for what the host draws:
RandomKey next_key(const char* op);
RandomDraw next_draw(const char* op, Device device);

/// Sets every element of t: uniform in [low, high); normal with this mean and standard deviation.
void fill_uniform(const Tensor& t, double low, double high, RandomKey key);
void fill_normal(const Tensor& t, double mean, double deviation, RandomKey key);

}  // namespace kinema::engine
