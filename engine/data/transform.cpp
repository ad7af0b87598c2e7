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
       {"resized_crop", r.resized_crop},
       {"area", r.area},
       {"aspect", r.aspect},
       {"scale_jitter", r.scale_jitter},
       {"flip", r.flip},
       {"colour_jitter", r.colour_jitter},
       {"loop", r.loop},
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
    all.at("resized_crop").get_to(r.resized_crop);
    all.at("area").get_to(r.area);
    all.at("aspect").get_to(r.aspect);
    all.at("scale_jitter").get_to(r.scale_jitter);
    all.at("flip").get_to(r.flip);
    all.at("colour_jitter").get_to(r.colour_jitter);
    all.at("loop").get_to(r.loop);
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

namespace {
void check_augmentation(const Recipe& r) {
  check(r.area[0] > 0 && r.area[0] <= r.area[1] && r.area[1] <= 1,
        "recipe: area must ascend within (0, 1], got ", r.area[0], " to ", r.area[1]);
  check(r.aspect[0] > 0 && r.aspect[0] <= r.aspect[1],
        "recipe: aspect must ascend from above 0, got ", r.aspect[0], " to ", r.aspect[1]);
  const bool jitters = r.scale_jitter != std::array<int64_t, 2>{0, 0};
  check(!jitters || (r.scale_jitter[0] >= std::max(r.height, r.width) &&
                     r.scale_jitter[1] >= r.scale_jitter[0] && r.scale_jitter[1] <= 16384),
        "recipe: scale_jitter must ascend from the crop's longer side, ",
        std::max(r.height, r.width), ", to at most 16384 pixels, got ", r.scale_jitter[0], " to ",
        r.scale_jitter[1]);
  check(!jitters || !r.resized_crop, "recipe: take either resized_crop or scale_jitter");
  for (double d : r.colour_jitter)
    check(d >= 0, "recipe: colour_jitter must not be negative, got ", d);
  check(r.colour_jitter[3] <= 0.5, "recipe: the hue's colour_jitter is at most 0.5 turns, got ",
        r.colour_jitter[3]);
}
}  // namespace

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
  check_augmentation(r);
}

FrameSize resized(FrameSize source, const Recipe& r) {
  const double height = double(source.height), width = double(source.width);
  double scale = r.short_side > 0 ? double(r.short_side) / std::min(height, width) : 1;
  // What the crop does not fit into is scaled up rather than refused: one small video among many.
  scale = std::max({scale, double(r.height) / height, double(r.width) / width});
  return {std::max(r.height, int64_t(std::llround(height * scale))),
          std::max(r.width, int64_t(std::llround(width * scale)))};
}

namespace {

void check_length(int64_t total, const Recipe& r) {
  const int64_t needed = (r.frames - 1) * r.frame_stride + 1;
  check(r.loop || total >= needed, "data: a clip needs ", needed, " frames, got ", total);
}

/// The part that becomes the crop, and its place: torchvision's RandomResizedCrop.get_params.
void draw_resized_crop(FrameSize frame, const Recipe& r, Draws& draws, ViewPlan& plan) {
  const double area = double(frame.height * frame.width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double part = area * draws.between(r.area[0], r.area[1]);
    const double aspect = std::exp(draws.between(std::log(r.aspect[0]), std::log(r.aspect[1])));
    plan.window = {std::llround(std::sqrt(part / aspect)), std::llround(std::sqrt(part * aspect))};
    if (plan.window.height < 1 || plan.window.height > frame.height || plan.window.width < 1 ||
        plan.window.width > frame.width)
      continue;
    plan.corner = random_crop(frame, plan.window, draws);
    return;
  }
  // None fitted: the largest part of an allowed aspect, from the middle.
  const double aspect =
      std::clamp(double(frame.width) / double(frame.height), r.aspect[0], r.aspect[1]);
  plan.window = {std::clamp<int64_t>(std::llround(double(frame.width) / aspect), 1, frame.height),
                 std::clamp<int64_t>(std::llround(double(frame.height) * aspect), 1, frame.width)};
  plan.corner = even_crop(frame, plan.window, 0, 1);
}

/// A crop of frames whose short side is `drawn`, as seen in the frames as they are.
FrameSize window_at_scale(FrameSize frame, const Recipe& r, int64_t drawn) {
  const double scale = double(std::min(frame.height, frame.width)) / double(drawn);
  return {std::clamp<int64_t>(std::llround(double(r.height) * scale), 1, frame.height),
          std::clamp<int64_t>(std::llround(double(r.width) * scale), 1, frame.width)};
}

ColourChange draw_colours(const Recipe& r, Draws& draws) {
  ColourChange c;
  for (int i = 3; i > 0; --i) std::swap(c.order[size_t(i)], c.order[size_t(draws.below(i + 1))]);
  const auto factor = [&](double jitter) {
    return draws.between(std::max(0., 1 - jitter), 1 + jitter);
  };
  c.brightness = factor(r.colour_jitter[0]);
  c.contrast = factor(r.colour_jitter[1]);
  c.saturation = factor(r.colour_jitter[2]);
  c.hue = draws.between(-r.colour_jitter[3], r.colour_jitter[3]);
  return c;
}

}  // namespace

ViewPlan training_view(int64_t total, FrameSize size, const Recipe& r, RandomKey key) {
  check_length(total, r);
  Draws draws(key);
  FrameSize crop{r.height, r.width};
  ViewPlan plan;
  plan.frames = training_frames(total, r.frames, r.frame_stride, draws);
  if (r.scale_jitter[1] > 0) {
    const int64_t drawn =
        r.scale_jitter[0] + draws.below(r.scale_jitter[1] - r.scale_jitter[0] + 1);
    plan.window = crop = window_at_scale(size, r, drawn);
  }
  if (r.resized_crop) {
    draw_resized_crop(size, r, draws, plan);
  } else {
    plan.corner = r.random_crop ? random_crop(size, crop, draws) : even_crop(size, crop, 0, 1);
  }
  plan.mirrored = r.flip && draws.unit() < 0.5;
  if (r.colour_jitter != std::array<double, 4>{}) plan.colour = draw_colours(r, draws);
  return plan;
}

ViewPlan testing_view(int64_t total, FrameSize size, const Recipe& r, int64_t view) {
  check_length(total, r);
  ViewPlan plan;
  plan.frames = testing_frames(total, r.frames, r.frame_stride, view / r.crops, r.clips);
  plan.corner = even_crop(size, {r.height, r.width}, view % r.crops, r.crops);
  return plan;
}

void normalise(const View& from, const Recipe& r, Corner corner, bool mirrored, const View& to) {
  check(from.shape.rank == 5 && to.shape.rank == 5 && from.shape[4] == 3 && to.shape[4] == 3 &&
            corner.y + to.shape[2] <= from.shape[2] && corner.x + to.shape[3] <= from.shape[3],
        "normalise: ", to.shape, " at ", corner.y, ",", corner.x, " leaves ", from.shape);
  const ClipPlan plan{.top = corner.y, .left = corner.x, .mirrored = mirrored};
  clip_transform({r.mean, r.deviation}, {&plan, 1}, from, to);
}

}  // namespace kinema::engine::video
