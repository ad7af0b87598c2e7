// Views in pieces: the same rows as all at once, and memory that does not grow with their number.
#include "engine/ops/views.h"
#include "engine/data/loader.h"
#include "engine/data/video_views.h"
#include "engine/data/video_writer.h"
#include "engine/train/predict.h"
#include "models/base/model.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using engine::train::Average, engine::train::Predictor, engine::train::Timeline;
using engine::video::FrameSize, engine::video::load_views, engine::video::Recipe,
    engine::video::VideoReader, engine::video::VideoViews;

/// A video of `frames` frames of noise.
std::string video_of(const Folder& folder, int64_t frames, int64_t height = 40,
                     int64_t width = 64) {
  const std::string path = folder / (std::to_string(frames) + ".mp4");
  engine::video::VideoWriter writer(path, height, width, {.fps = 10});
  const Tensor noise = random({1, frames, height, width, 3}, uint64_t(frames), Dtype::f32, 0, 255);
  const Tensor bytes = cast(noise, Dtype::u8);
  // Frames of three channels lie in padded rows: those of a video are dense.
  writer.write(bytes.view());
  writer.close();
  return path;
}

/// All views, `piece` at a time.
Tensor in_pieces(const std::string& path, const Recipe& r, int64_t piece) {
  VideoViews views(VideoReader(path), r);
  Tensor all = empty({r.views(), r.frames, r.height, r.width, 3});
  for (int64_t at = 0; views.left(); at += piece)
    views.next(all.view().slice(0, at, std::min(piece, views.left())));
  return all;
}

TEST(VideoViews, PiecesAreTheViewsAtOnce) {
  const Folder folder;
  for (int64_t frames : {1, 5, 30}) {  // shorter than a clip, too: it loops
    const std::string path = video_of(folder, frames);
    for (const Recipe& r :
         {Recipe{.frames = 4, .height = 32, .width = 32, .clips = 7, .crops = 3},
          Recipe{.frames = 4, .frame_stride = 3, .height = 40, .width = 40, .clips = 5, .crops = 2},
          Recipe{.frames = 2, .height = 16, .width = 16, .clips = 1}}) {
      const std::vector<float> want = to_vector<float>(load_views(path, r));
      for (int64_t piece : {1, 2, 4, 100})
        EXPECT_EQ(to_vector<float>(in_pieces(path, r, piece)), want) << frames << " by " << piece;
    }
  }
}

TEST(VideoViews, RefusesMoreThanThereAre) {
  const Folder folder;
  const Recipe r{.frames = 2, .height = 16, .width = 16, .clips = 2};
  VideoViews views(VideoReader(video_of(folder, 5)), r);
  const Tensor rows = empty({3, 2, 16, 16, 3});
  EXPECT_EQ(refusal([&] { views.next(rows.view()); }), "video: 2 views are left, asked for 3");
}

/// A network whose scores are sums over the clip: cheap, and different for each view.
Tensor sums(const Tensor& clips) {
  const auto clip = [&](int64_t n, double& first, double& second) {
    const std::vector<float> v = to_vector<float>(slice(clips, 0, n, 1));
    for (size_t i = 0; i < v.size(); ++i) (i % 2 ? first : second) += double(v[i]);
  };
  std::vector<float> scores;
  for (int64_t n = 0; n < clips.shape(0); ++n) {
    double a = 0, b = 0;
    clip(n, a, b);
    scores.insert(scores.end(), {float(a / 500), float(b / 500), 0.f});
  }
  return from_vector<float>({clips.shape(0), 3}, scores);
}

TEST(Predict, DoesNotDependOnTheBatch) {
  const Folder folder;
  const std::string path = video_of(folder, 30);
  for (Average rule : {Average::softmax, Average::logits}) {
    Predictor p{.forward = sums,
                .recipe = {.frames = 4, .height = 32, .width = 32, .clips = 10, .crops = 3},
                .average = rule,
                .batch = 30};
    const std::vector<double> want = predict(p, path);
    EXPECT_EQ(want, average_views(engine::train::rows_of(sums(load_views(path, p.recipe))), rule));
    for (int64_t batch : {1, 4, 7}) {
      p.batch = batch;
      EXPECT_EQ(predict(p, path), want) << batch;
    }
  }
}

/// Bytes that tensors held at most while f ran, beyond those before.
int64_t most_held(const std::function<void()>& f, int64_t& highest) {
  f();
  const int64_t peak = memory_use().peak, grown = peak - highest;
  highest = peak;
  return grown;
}

/// The highest use so far is that of few views; many must not lift it by the rows of one more view
/// (100 KB).
TEST(Predict, MemoryDoesNotGrowWithTheViews) {
  const Folder folder;
  const std::string path = video_of(folder, 90);
  Predictor p{.forward = sums,
              .recipe = {.frames = 8, .height = 32, .width = 32, .clips = 2, .crops = 3},
              .batch = 6};
  int64_t highest = 0;
  most_held([&] { predict(p, path); }, highest);
  for (int64_t clips : {10, 100}) {
    p.recipe.clips = clips;
    EXPECT_LT(most_held([&] { predict(p, path); }, highest), 100000) << clips;
  }
}

TEST(Timeline, MemoryDoesNotGrowWithTheLengthOfTheVideo) {
  const Folder folder;
  const std::string shorter = video_of(folder, 30), longer = video_of(folder, 300);
  const Predictor p{
      .forward = sums, .recipe = {.frames = 8, .height = 32, .width = 32, .crops = 3}, .batch = 6};
  const auto run = [&](const std::string& path) {
    Timeline line(p, path, 0.1);
    int64_t count = 0;
    for (Timeline::Point point; line.next(point);) ++count;
    return count;
  };
  int64_t highest = 0;
  most_held([&] { EXPECT_EQ(run(shorter), 30); }, highest);
  EXPECT_LT(most_held([&] { EXPECT_EQ(run(longer), 300); }, highest), 100000);
}

/// Three videos; the answers of all views at once, and of pieces.
TEST(Evaluate, TakesViewsInPiecesAtFixedMemory) {
  const Folder folder;
  engine::video::Dataset data{{"a", "b", "c"}, {}};
  for (int64_t i : {0, 1, 2}) data.samples.push_back({video_of(folder, 60 + i), i});
  struct Nothing : nn::Module {
  } network;
  const auto answers = [&](int64_t clips, int64_t at_once) {
    const Recipe r{.frames = 8, .height = 32, .width = 32, .clips = clips, .crops = 3};
    engine::video::Loader loader(data, r,
                                 {.batch = 1,
                                  .views_at_once = at_once,
                                  .memory_cap_bytes = 4000000,  // of 99 KB a view
                                  .cache_bytes = 0});
    return engine::train::evaluate(network, sums, loader, Average::softmax);
  };
  int64_t highest = 0;
  most_held([&] { answers(4, 6); }, highest);
  // Pieces that wait depend on the timing: those of the cap may be held, and no more.
  highest += 4000000;
  EXPECT_LE(most_held([&] { answers(100, 6); }, highest), 0);
  const auto want = answers(12, 0), got = answers(12, 5);
  ASSERT_EQ(got.answers.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got.answers[i].sample, want.answers[i].sample);
    EXPECT_EQ(got.answers[i].probabilities, want.answers[i].probabilities);
  }
  EXPECT_EQ(got.metrics.loss(), want.metrics.loss());
}

TEST(Loader, PiecesNameABrokenFile) {
  const Folder folder;
  const engine::video::Dataset data{
      {"a"}, {{video_of(folder, 20), 0}, {(folder / "none.mp4").string(), 0}}};
  const Recipe r{.frames = 2, .height = 16, .width = 16, .clips = 4};
  engine::video::Loader loader(data, r, {.views_at_once = 3, .cache_bytes = 0});
  EXPECT_EQ(loader.batches(), 4);
  engine::video::Batch b;
  for (int epoch = 0; epoch < 2; ++epoch) {
    loader.start_epoch(epoch);
    for (int64_t rows : {3, 1}) {
      ASSERT_TRUE(loader.next(b));
      EXPECT_EQ(b.clips.shape(0), rows);
    }
    EXPECT_NE(refusal([&] { loader.next(b); }).find("none.mp4"), std::string::npos);
    EXPECT_FALSE(loader.next(b));
  }
  // Joined in the middle of an epoch, too.
  loader.start_epoch(2);
}

/// Each point is the answer for the clip around it.
TEST(Timeline, ScoresTheClipAroundEachTime) {
  const Folder folder;
  const std::string path = video_of(folder, 25);  // 2.5 s
  const Predictor p{
      .forward = sums, .recipe = {.frames = 5, .height = 40, .width = 64}, .batch = 2};
  Timeline line(p, path, 0.5);
  EXPECT_EQ(line.points(), 5);
  const int64_t starts[] = {0, 3, 8, 13, 18};  // of frames 0, 5, 10, 15, 20 less two, within 0..20
  VideoReader reader(path);
  Timeline::Point point;
  for (int64_t k = 0; k < 5; ++k) {
    ASSERT_TRUE(line.next(point));
    EXPECT_EQ(point.seconds, 0.5 * double(k));
    std::vector<int64_t> frames;
    for (int64_t i = 0; i < 5; ++i) frames.push_back(starts[k] + i);
    const Tensor rgb = reader.read(frames), clip = empty({1, 5, 40, 64, 3});
    for (int64_t t = 0; t < 5; ++t)
      engine::video::normalise(rgb.view().slice(1, t, 1), p.recipe, {}, false,
                               clip.view().slice(1, t, 1));
    EXPECT_EQ(point.probabilities, engine::train::softmax(engine::train::rows_of(sums(clip))[0]));
  }
  EXPECT_FALSE(line.next(point));
  EXPECT_EQ(refusal([&] { Timeline(p, path, 0); }),
            "predict: the time from one score to the next must be above 0 s, got 0");
}

/// A real network: oneDNN may sum in another order for another batch size, so rows agree to a few
/// roundings of f32, not to the bit.
TEST(Predict, ARealNetworkAnswersAlikeInPieces) {
  const Folder folder;
  const std::string path = video_of(folder, 30);
  const models::ModelOptions o{.classes = 3, .frames = 4, .height = 32, .width = 32};
  const auto net = models::find_model("slow_fusion").create(o);
  net->initialise(1);
  net->train(false);
  Predictor p{.forward = [&](const Tensor& x) { return net->forward(x); },
              .recipe = {.frames = 4, .height = 32, .width = 32, .clips = 10, .crops = 3},
              .batch = 30};
  const std::vector<double> want = predict(p, path);
  for (int64_t batch : {1, 7}) {
    p.batch = batch;
    const std::vector<double> got = predict(p, path);
    for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(got[c], want[c], 1e-6) << batch;
  }
}

}  // namespace
}  // namespace kinema::test
