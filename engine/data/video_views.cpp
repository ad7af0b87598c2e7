#include "engine/data/video_views.h"
#include <algorithm>

namespace kinema::engine::video {

namespace {

bool holds(const std::vector<int64_t>& sorted, int64_t frame) {
  return std::binary_search(sorted.begin(), sorted.end(), frame);
}

Tensor copy_of(const View& rgb) {
  Tensor copied = empty(rgb.shape, Dtype::u8, Device::cpu);
  for (int64_t y = 0; y < rgb.shape[2]; ++y)
    std::copy_n(kernels::data<const uint8_t>(rgb) + y * rgb.stride(2), 3 * rgb.shape[3],
                data<uint8_t>(copied) + y * copied.layout.stride(2));
  return copied;
}

}  // namespace

VideoViews::VideoViews(VideoReader reader, const Recipe& recipe)
    : VideoViews(std::move(reader), recipe, recipe.views(), {}) {
  const int64_t total = reader_.frames();
  check(total > 0, "video: no frame can be decoded");
  plan_ = [this, total](int64_t view) { return testing_view(total, size_, recipe_, view); };
}

VideoViews::VideoViews(VideoReader reader, const Recipe& recipe, int64_t views, PlanOf plan)
    : reader_(std::move(reader)),
      recipe_(recipe),
      size_(resized(reader_.info().size, recipe)),
      views_(views),
      plan_(std::move(plan)) {
  check_recipe(recipe);
}

/// Frames up to `last_frame` that view `first` or a later one shows.
std::vector<int64_t> VideoViews::shown_later(int64_t first, int64_t last_frame) const {
  std::vector<int64_t> list;
  for (int64_t v = first; v < views_; ++v) {
    const ViewPlan plan = plan_(v);
    if (*std::min_element(plan.frames.begin(), plan.frames.end()) > last_frame) break;
    list.insert(list.end(), plan.frames.begin(), plan.frames.end());
  }
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

void VideoViews::next(ViewRows rows) {
  const int64_t count = rows.count();
  check(count > 0 && count <= left(), "video: ", left(), " views are left, asked for ", count);
  std::vector<ViewPlan> plans;
  for (int64_t v = done_; v < done_ + count; ++v) plans.push_back(plan_(v));
  rows.begin(recipe_, std::move(plans));
  std::vector<int64_t> now = rows.frames();
  done_ += count;
  const std::vector<int64_t> later = shown_later(done_, now.back());
  for (const auto& [frame, rgb] : kept_) rows.put(rgb.view(), frame);
  std::erase_if(now, [&](int64_t frame) { return kept_.contains(frame); });
  std::erase_if(kept_, [&](const auto& entry) { return !holds(later, entry.first); });
  reader_.read(now, size_, [&](int64_t frame, const View& rgb) {
    rows.put(rgb, frame);
    if (holds(later, frame)) kept_[frame] = copy_of(rgb);
  });
}

}  // namespace kinema::engine::video
