#include "engine/data/view_rows.h"
#include <algorithm>
#include <cstring>
#include "engine/data/augment.h"

namespace kinema::engine::video {

namespace {

int64_t frame_bytes(Dtype type, FrameSize size) {
  const Shape frame = {1, 1, size.height, size.width, 3};
  return kernels::fresh_layout(type, frame).stride(1) * kernels::size_of(type);
}

/// The row that `plan` will become, its frames not yet written.
RawClip raw_clip(const Recipe& r, const ViewPlan& plan) {
  const FrameSize crop = {r.height, r.width};
  RawClip clip{.frames = {}, .plan = {.mirrored = plan.mirrored, .colour = plan.colour}};
  FrameSize part = crop;
  const bool scales = plan.window.height > 0;
  if (scales && frame_bytes(Dtype::u8, plan.window) <= frame_bytes(Dtype::f32, crop)) {
    part = plan.window;
    clip.plan.height = part.height, clip.plan.width = part.width;
  }
  try {
    clip.frames = empty({1, r.frames, part.height, part.width, 3}, Dtype::u8, Device::cpu);
  } catch (const Error& e) {
    throw NoRoom(e.what());
  }
  return clip;
}

/// `to` = the part of `from` of its size at `corner`.
void cut(const View& from, Corner corner, const View& to) {
  check(corner.y >= 0 && corner.x >= 0 && corner.y + to.shape[2] <= from.shape[2] &&
            corner.x + to.shape[3] <= from.shape[3],
        "cut: ", to.shape, " at ", corner.y, ",", corner.x, " leaves ", from.shape);
  const View part = from.slice(2, corner.y, to.shape[2]).slice(3, corner.x, to.shape[3]);
  for (int64_t y = 0; y < to.shape[2]; ++y)
    std::memcpy(kernels::data<uint8_t>(to) + y * to.stride(2),
                kernels::data<uint8_t>(part) + y * part.stride(2), size_t(3 * to.shape[3]));
}

}  // namespace

void ViewRows::begin(const Recipe& recipe, std::vector<ViewPlan> plans) {
  check(int64_t(plans.size()) == count_, "views: ", count_, " rows, ", plans.size(), " plans");
  recipe_ = recipe;
  plans_ = std::move(plans);
  for (size_t row = 0; row < raw_.size(); ++row) raw_[row] = raw_clip(recipe, plans_[row]);
}

std::vector<int64_t> ViewRows::frames() const {
  std::vector<int64_t> list;
  for (const ViewPlan& p : plans_) list.insert(list.end(), p.frames.begin(), p.frames.end());
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

void ViewRows::put(const View& frame, int64_t number) const {
  for (size_t row = 0; row < plans_.size(); ++row)
    for (size_t t = 0; t < plans_[row].frames.size(); ++t)
      if (plans_[row].frames[t] == number) put_at(frame, row, int64_t(t));
}

void ViewRows::put_at(const View& frame, size_t row, int64_t time) const {
  const ViewPlan& plan = plans_[row];
  if (raw_.empty())
    return show(frame, recipe_, plan, clips_.slice(0, int64_t(row), 1).slice(1, time, 1));
  const View to = raw_[row].frames.view().slice(1, time, 1);
  if (plan.window.height > 0 && !raw_[row].plan.scales())
    scale_window(frame, plan.corner, plan.window, to);
  else
    cut(frame, plan.corner, to);
}

}  // namespace kinema::engine::video
