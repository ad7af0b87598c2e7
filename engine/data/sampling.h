#pragma once
#include <array>
#include <cstdint>
#include <vector>
#include "engine/data/video.h"
#include "engine/random.h"

namespace kinema::engine::video {

/// Draws one after another from a key: Philox on a counter.
class Draws {
 public:
  explicit Draws(RandomKey key) : key_(key) {}
  /// Uniform in [0, 1).
  double unit();
  /// Uniform in [low, high).
  double between(double low, double high) { return low + (high - low) * unit(); }
  /// Uniform in [0, count).
  int64_t below(int64_t count);

 private:
  uint32_t word();
  RandomKey key_;
  uint64_t drawn_ = 0;
  std::array<uint32_t, 4> words_{};
};

/// The draws of one sample in one epoch: no thread and no order changes them.
RandomKey sample_key(uint64_t seed, int64_t epoch, int64_t sample);

/// A permutation of [0, count) for this epoch.
std::vector<int64_t> shuffled(int64_t count, uint64_t seed, int64_t epoch);

/// `frames` frame numbers, `stride` apart, from a uniformly random start. A video shorter than the
/// clip is played in a loop (frame i % total). Errors: total, frames or stride below 1.
std::vector<int64_t> training_frames(int64_t total, int64_t frames, int64_t stride, Draws& draws);

/// Clip `clip` of `clips`: starts are evenly spaced from the first possible to the last; a single
/// clip lies in the middle. Loops as above.
std::vector<int64_t> testing_frames(int64_t total, int64_t frames, int64_t stride, int64_t clip,
                                    int64_t clips);

/// The clip whose middle lies nearest to frame `middle` and that the video holds. Loops as above.
std::vector<int64_t> frames_around(int64_t total, int64_t frames, int64_t stride, int64_t middle);

/// The upper left corner of a crop.
struct Corner {
  int64_t y = 0, x = 0;
  bool operator==(const Corner&) const = default;
};

/// A uniformly random position. `frame` must hold `crop`.
Corner random_crop(FrameSize frame, FrameSize crop, Draws& draws);

/// Position `i` of `count` evenly spaced along the side with more room, from left (top) to right
/// (bottom), centred along the other; a single crop is the centre one.
Corner even_crop(FrameSize frame, FrameSize crop, int64_t i, int64_t count);

}  // namespace kinema::engine::video
