#include "engine/data/thumbnail.h"
#include <algorithm>
#include <cmath>
#include "engine/data/image_writer.h"
#include "engine/data/loader.h"

namespace kinema::engine::video {

namespace {

constexpr int64_t most_frames = 12;
constexpr double seconds_a_frame = 0.12;

/// The recipe of the middle clip alone, small.
Recipe small(const Recipe& r, int64_t side) {
  Recipe s = r;
  s.clips = s.crops = 1;
  const int64_t span = r.frames * r.frame_stride;
  s.frames = std::min(r.frames, most_frames);
  s.frame_stride = std::max<int64_t>(1, span / s.frames);
  const double scale = double(side) / double(std::max(r.height, r.width));
  const auto scaled = [&](int64_t v) {
    return std::max<int64_t>(1, std::llround(scale * double(v)));
  };
  s.height = scaled(r.height);
  s.width = scaled(r.width);
  s.short_side = r.short_side ? scaled(r.short_side) : std::min(s.height, s.width);
  return s;
}

}  // namespace

std::string thumbnail(const std::string& path, const Recipe& recipe, int64_t side) {
  const Recipe r = small(recipe, side);
  const Tensor clip = load_views(path, r);
  const View v = clip.view();
  float* pixels = data<float>(clip);
  for (int64_t t = 0; t < v.shape[1]; ++t)
    for (int64_t y = 0; y < v.shape[2]; ++y)
      for (int64_t x = 0; x < v.shape[3] * 3; ++x) {
        float& p = pixels[t * v.stride(1) + y * v.stride(2) + x];
        p = float(double(p) * r.deviation[size_t(x % 3)] + r.mean[size_t(x % 3)]);
      }
  return encode_gif(to_bytes(v).view(), seconds_a_frame);
}

}  // namespace kinema::engine::video
