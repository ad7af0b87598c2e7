#include "engine/train/predict.h"
#include <algorithm>
#include <cmath>
#include "engine/autograd.h"

namespace kinema::engine::train {

namespace {

Tensor host_clips(const Predictor& p, video::VideoViews& views, int64_t rows) {
  const Shape shape = {rows, p.recipe.frames, p.recipe.height, p.recipe.width, 3};
  const Tensor clips = empty(shape, Dtype::f32, Device::cpu);
  views.next(clips.view());
  return clips;
}

Tensor raw_clips(Feed& feed, video::VideoViews& views, int64_t rows) {
  video::Batch batch;
  batch.raw.resize(size_t(rows));
  views.next(std::span(batch.raw));
  return feed.bring(std::move(batch)).clips;
}

/// The network's scores of the next views, at most predictor.batch of them.
std::vector<std::vector<double>> next_scores(const Predictor& p, video::VideoViews& views,
                                             const std::string& path) {
  NoGrad off_tape;
  const int64_t rows = std::min(p.batch, views.left());
  const Tensor clips = p.feed ? raw_clips(*p.feed, views, rows) : host_clips(p, views, rows);
  const std::vector<std::vector<double>> scores = rows_of(p.forward(clips));
  for (const std::vector<double>& row : scores)
    for (double score : row)
      check(std::isfinite(score), "predict: the network's scores for \"", path,
            "\" are no numbers; its weights are damaged");
  return scores;
}

/// What reading a video says, with its path.
template <class F>
auto naming(const std::string& path, const F& f) {
  try {
    return f();
  } catch (const Error& e) {
    const std::string text = e.what();
    if (text.find(path) != std::string::npos) throw;
    fail(text, " (in ", path, ")");
  }
}

}  // namespace

std::vector<double> predict(const Predictor& p, const std::string& path) {
  check(p.batch >= 1, "predict: batch must be positive, got ", p.batch);
  return naming(path, [&] {
    video::VideoViews views(video::VideoReader(path), p.recipe);
    ViewAverage average(views.left(), p.average);
    while (views.left())
      for (const std::vector<double>& row : next_scores(p, views, path)) average.add(row);
    return average.probabilities();
  });
}

Timeline::Timeline(const Predictor& predictor, const std::string& path, double every)
    : predictor_(predictor), path_(path), every_(every) {
  check(every > 0, "predict: the time from one score to the next must be above 0 s, got ", every);
  check(predictor.batch >= 1, "predict: batch must be positive, got ", predictor.batch);
  naming(path, [&] {
    video::VideoReader reader(path);
    const int64_t total = reader.frames();
    const double fps = reader.info().fps;
    check(total > 0, "video: no frame of ", path, " can be decoded");
    check(fps > 0, "predict: ", path, " does not say how many frames a second has");
    const video::Recipe& recipe = predictor_.recipe;
    const video::FrameSize size = video::resized(reader.info().size, recipe);
    // The last point lies on a frame: times end with the video.
    points_ = int64_t(std::floor(double(total - 1) / fps / every + 1e-9)) + 1;
    const auto plan_of = [=, this](int64_t view) {
      const auto middle = int64_t(std::llround(double(view / recipe.crops) * every_ * fps));
      video::ViewPlan plan = video::testing_view(total, size, recipe, view % recipe.crops);
      plan.frames = video::frames_around(total, recipe.frames, recipe.frame_stride, middle);
      return plan;
    };
    views_ = std::make_unique<video::VideoViews>(std::move(reader), recipe, points_ * recipe.crops,
                                                 plan_of);
  });
}

/// Runs one batch of views: some points get ready, the last may lack crops.
void Timeline::fill() {
  for (const std::vector<double>& row : next_scores(predictor_, *views_, path_)) {
    if (!average_)
      average_ = std::make_unique<ViewAverage>(predictor_.recipe.crops, predictor_.average);
    average_->add(row);
    if (!average_->complete()) continue;
    ready_.push_back(average_->probabilities());
    average_ = nullptr;
  }
}

bool Timeline::next(Point& point) {
  if (given_ == points_) return false;
  naming(path_, [&] {
    while (ready_.empty()) fill();
  });
  point = {double(given_++) * every_, std::move(ready_.front())};
  ready_.pop_front();
  return true;
}

}  // namespace kinema::engine::train
