#include "engine/data/sampling.h"
#include <algorithm>
#include <numeric>
#include "kernels/base/philox.h"

namespace kinema::engine::video {

namespace {

/// The frames of the clip that starts at `start`.
std::vector<int64_t> clip_frames(int64_t total, int64_t frames, int64_t stride, int64_t start) {
  std::vector<int64_t> list(static_cast<size_t>(frames));
  for (int64_t i = 0; i < frames; ++i) list[size_t(i)] = (start + i * stride) % total;
  return list;
}

/// The number of possible starts; 1 where the video is not longer than the clip.
int64_t starts(int64_t total, int64_t frames, int64_t stride) {
  check(total >= 1, "sampling: the video has no frames");
  check(frames >= 1 && stride >= 1, "sampling: frames and stride must be positive, got ", frames,
        " and ", stride);
  return std::max<int64_t>(1, total - (frames - 1) * stride);
}

/// Place i of `count`, evenly spaced over [0, room]; the middle for a single one.
int64_t even(int64_t room, int64_t i, int64_t count) {
  return count == 1 ? room / 2 : (room * i + (count - 1) / 2) / (count - 1);
}

}  // namespace

uint32_t Draws::word() {
  if (drawn_ % 4 == 0) words_ = kernels::philox(drawn_ / 4, key_.key, key_.stream);
  return words_[size_t(drawn_++ % 4)];
}

double Draws::unit() {
  const uint32_t high = word(), low = word();
  return (double(high >> 5) * 0x1p26 + double(low >> 6)) * 0x1p-53;
}

int64_t Draws::below(int64_t count) {
  check(count > 0, "draws: expected a positive count, got ", count);
  return std::min(count - 1, int64_t(unit() * double(count)));
}

RandomKey sample_key(uint64_t seed, int64_t epoch, int64_t sample) {
  const auto words = kernels::philox(uint64_t(epoch), seed, 1);
  return {uint64_t(words[0]) << 32 | words[1], uint64_t(sample)};
}

std::vector<int64_t> shuffled(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t(0));
  const auto words = kernels::philox(uint64_t(epoch), seed, 2);
  Draws draws({uint64_t(words[0]) << 32 | words[1], 0});
  // Fisher and Yates, from the back.
  for (int64_t i = count - 1; i > 0; --i)
    std::swap(order[size_t(i)], order[size_t(draws.below(i + 1))]);
  return order;
}

std::vector<int64_t> training_frames(int64_t total, int64_t frames, int64_t stride, Draws& draws) {
  return clip_frames(total, frames, stride, draws.below(starts(total, frames, stride)));
}

std::vector<int64_t> testing_frames(int64_t total, int64_t frames, int64_t stride, int64_t clip,
                                    int64_t clips) {
  const int64_t room = starts(total, frames, stride) - 1;
  check(clip >= 0 && clip < clips, "sampling: expected a clip below ", clips, ", got ", clip);
  return clip_frames(total, frames, stride, even(room, clip, clips));
}

std::vector<int64_t> frames_around(int64_t total, int64_t frames, int64_t stride, int64_t middle) {
  const int64_t room = starts(total, frames, stride) - 1;
  const int64_t start = std::clamp<int64_t>(middle - (frames - 1) * stride / 2, 0, room);
  return clip_frames(total, frames, stride, start);
}

namespace {
void check_fits(FrameSize frame, FrameSize crop) {
  check(
      crop.height > 0 && crop.width > 0 && crop.height <= frame.height && crop.width <= frame.width,
      "sampling: a crop of ", crop.height, "x", crop.width, " does not fit a frame of ",
      frame.height, "x", frame.width);
}
}  // namespace

Corner random_crop(FrameSize frame, FrameSize crop, Draws& draws) {
  check_fits(frame, crop);
  const int64_t y = draws.below(frame.height - crop.height + 1);
  return {y, draws.below(frame.width - crop.width + 1)};
}

Corner even_crop(FrameSize frame, FrameSize crop, int64_t i, int64_t count) {
  check_fits(frame, crop);
  check(i >= 0 && i < count, "sampling: expected a crop below ", count, ", got ", i);
  const int64_t down = frame.height - crop.height, right = frame.width - crop.width;
  if (down > right) return {even(down, i, count), right / 2};
  return {down / 2, even(right, i, count)};
}

}  // namespace kinema::engine::video
