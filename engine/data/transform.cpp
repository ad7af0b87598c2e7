#include "engine/data/transform.h"
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace kinema::engine::video {

void to_json(nlohmann::json& j, const Recipe& r) {
  j = {{"frames", r.frames},
       {"frame_stride", r.frame_stride},
       {"short_side", r.short_side},
       {"height", r.height},
       {"width", r.width},
       {"random_crop", r.random_crop},
       {"flip", r.flip},
       {"mean", r.mean},
       {"deviation", r.deviation},
       {"clips", r.clips},
       {"crops", r.crops}};
}

void from_json(const nlohmann::json& j, Recipe& r) {
  check(j.is_object(), "recipe: expected a JSON object");
  r = Recipe{};
  const nlohmann::json known = r;
  for (const auto& [name, value] : j.items())
    check(known.contains(name), "recipe: unknown field ", name);
  nlohmann::json all = known;
  all.update(j);
  try {
    all.at("frames").get_to(r.frames);
    all.at("frame_stride").get_to(r.frame_stride);
    all.at("short_side").get_to(r.short_side);
    all.at("height").get_to(r.height);
    all.at("width").get_to(r.width);
    all.at("random_crop").get_to(r.random_crop);
    all.at("flip").get_to(r.flip);
    all.at("mean").get_to(r.mean);
    all.at("deviation").get_to(r.deviation);
    all.at("clips").get_to(r.clips);
    all.at("crops").get_to(r.crops);
  } catch (const nlohmann::json::exception& e) {
    const std::string text = e.what();
    fail("recipe: ", text.substr(text.find("] ") + 2));  // behind "[json.exception.NAME] "
  }
  check_recipe(r);
}

void check_recipe(const Recipe& r) {
  check(r.frames >= 1 && r.frame_stride >= 1,
        "recipe: frames and frame_stride must be positive, got ", r.frames, " and ",
        r.frame_stride);
  check(r.height >= 1 && r.width >= 1 && r.height <= 16384 && r.width <= 16384,
        "recipe: height and width must be 1 to 16384 pixels, got ", r.height, "x", r.width);
  check(r.short_side >= 0 && r.short_side <= 16384,
        "recipe: short_side must be 0 to 16384 pixels, got ", r.short_side);
  check(r.clips >= 1 && r.crops >= 1, "recipe: clips and crops must be positive, got ", r.clips,
        " and ", r.crops);
  for (double d : r.deviation) check(d > 0, "recipe: deviation must be positive, got ", d);
  check(r.short_side == 0 || r.short_side >= std::min(r.height, r.width), "recipe: short_side ",
        r.short_side, " is below the crop of ", r.height, "x", r.width);
}

FrameSize resized(FrameSize source, const Recipe& r) {
  const double height = double(source.height), width = double(source.width);
  double scale = r.short_side > 0 ? double(r.short_side) / std::min(height, width) : 1;
  // What the crop does not fit into is scaled up rather than refused: one small video among many.
  scale = std::max({scale, double(r.height) / height, double(r.width) / width});
  return {std::max(r.height, int64_t(std::llround(height * scale))),
          std::max(r.width, int64_t(std::llround(width * scale)))};
}

ViewPlan training_view(int64_t total, FrameSize size, const Recipe& r, RandomKey key) {
  Draws draws(key);
  const FrameSize crop{r.height, r.width};
  ViewPlan plan;
  plan.frames = training_frames(total, r.frames, r.frame_stride, draws);
  plan.corner = r.random_crop ? random_crop(size, crop, draws) : even_crop(size, crop, 0, 1);
  plan.mirrored = r.flip && draws.unit() < 0.5;
  return plan;
}

ViewPlan testing_view(int64_t total, FrameSize size, const Recipe& r, int64_t view) {
  ViewPlan plan;
  plan.frames = testing_frames(total, r.frames, r.frame_stride, view / r.crops, r.clips);
  plan.corner = even_crop(size, {r.height, r.width}, view % r.crops, r.crops);
  return plan;
}

void normalise(const View& from, const Recipe& r, Corner corner, bool mirrored, const View& to) {
  check(from.shape.rank == 5 && to.shape.rank == 5 && from.shape[4] == 3 && to.shape[4] == 3 &&
            corner.y + to.shape[2] <= from.shape[2] && corner.x + to.shape[3] <= from.shape[3],
        "normalise: ", to.shape, " at ", corner.y, ",", corner.x, " leaves ", from.shape);
  const int64_t width = to.shape[3];
  float gain[3], shift[3];
  for (size_t c = 0; c < 3; ++c) {
    gain[c] = float(1 / (255 * r.deviation[c]));
    shift[c] = float(-r.mean[c] / r.deviation[c]);
  }
  for (int64_t y = 0; y < to.shape[2]; ++y) {
    const uint8_t* in = kernels::data<const uint8_t>(from) + (corner.y + y) * from.stride(2) +
                        3 * (corner.x + (mirrored ? width - 1 : 0));
    float* out = kernels::data<float>(to) + y * to.stride(2);
    const int64_t step = mirrored ? -3 : 3;
    for (int64_t x = 0; x < width; ++x, in += step, out += 3)
      for (int c = 0; c < 3; ++c) out[c] = float(in[c]) * gain[c] + shift[c];
  }
}

}  // namespace kinema::engine::video
