// labels: ci, emulated
// What brings batches to a GPU, on the emulated one: its streams do their work as late as events
// and waiting allow, so that whoever does not wait reads or overwrites what is not ready.
#include "engine/train/feed.h"
#include "engine/gpu.h"
#include "kernels/base/runtime.h"
#include "kernels/clip_transform/clip_transform.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using train::FedBatch, train::Feed, video::RawClip, video::Recipe;

/// The emulated runtime, whose waits a test may take away.
kernels::Runtime runtime = kernels::runtime_emulated;

class FeedTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { use_gpu(runtime, Backend::emulated); }
  void TearDown() override { runtime = kernels::runtime_emulated; }
};

const Recipe recipe{.frames = 2,
                    .height = 8,
                    .width = 12,
                    .mean = {0.45, 0.25, 0.5},
                    .deviation = {0.225, 0.5, 0.25}};

/// Raw rows, `rows` of them; every second window is scaled where `scaled`.
video::Batch raw_batch(uint64_t seed, int64_t rows, bool scaled, bool several = false) {
  video::Batch b;
  std::vector<int64_t> labels;
  for (int64_t n = 0; n < rows; ++n) {
    RawClip raw{{}, {.mirrored = n % 2 == 1}};
    if (scaled && n % 2) raw.plan.height = 9 + n % 4, raw.plan.width = 20;
    if (n % 3 == 2) raw.plan.colour = {.brightness = 1.2, .contrast = 0.8};
    const bool window = raw.plan.scales();
    raw.frames = random({1, recipe.frames, window ? raw.plan.height : recipe.height,
                         window ? raw.plan.width : recipe.width, 3},
                        seed * 100 + uint64_t(n), Dtype::u8, 0, 256);
    b.raw.push_back(raw);
    b.index.push_back(int64_t(seed) * 10 + n);
    labels.push_back(int64_t(seed) + n);
  }
  b.labels = from_vector<int64_t>({rows}, labels);
  if (several) b.targets = random({rows, 5}, seed);
  return b;
}

/// The same kernels, at once.
std::vector<float> clips_of(const video::Batch& b, Dtype type) {
  const Tensor clips = empty({int64_t(b.raw.size()), recipe.frames, recipe.height, recipe.width, 3},
                             type, Device::cpu);
  for (size_t n = 0; n < b.raw.size(); ++n)
    kernels::clip_transform(Backend::emulated)
        .forward({}, {recipe.mean, recipe.deviation}, {&b.raw[n].plan, 1}, b.raw[n].frames.view(),
                 clips.view().slice(0, int64_t(n), 1));
  return floats(clips);
}

/// Brings `count` batches, one after another, and looks at them only then: how many are wrong. From
/// the sixth on they are larger than those before.
int wrong_of(int count, Dtype type, bool scaled, bool several = false) {
  std::vector<video::Batch> batches;
  for (int i = 0; i < count; ++i)
    batches.push_back(raw_batch(uint64_t(i), i == 3 ? 3 : 4 + i / 5, scaled, several));
  std::vector<FedBatch> fed;
  Feed feed(recipe, type);
  for (const video::Batch& b : batches) fed.push_back(feed.bring(b));
  int wrong = 0;
  for (size_t i = 0; i < fed.size(); ++i) {
    const FedBatch& f = fed[i];
    EXPECT_EQ(f.clips.device(), Device::gpu);
    EXPECT_EQ(f.host.index, batches[i].index);
    EXPECT_TRUE(f.host.raw.empty());
    const bool same =
        floats(f.clips) == clips_of(batches[i], type) &&
        to_vector<int64_t>(f.labels) == to_vector<int64_t>(batches[i].labels) &&
        (!several || to_vector<float>(f.targets) == to_vector<float>(batches[i].targets));
    wrong += !same;
  }
  return wrong;
}

TEST_F(FeedTest, GivesTheClipsOfEachBatchToTheBit) {
  for (Dtype type : activation_types) {
    EXPECT_EQ(wrong_of(7, type, false), 0) << type;
    EXPECT_EQ(wrong_of(7, type, true, true), 0) << type;
  }
}

TEST_F(FeedTest, LeavesHostBatchesWhereTheyAre) {
  video::Batch b;
  b.clips = random({2, 2, 8, 12, 3});
  b.labels = from_vector<int64_t>({2}, {3, 4});
  b.index = {7, 8};
  const FedBatch f = Feed(recipe).bring(b);
  EXPECT_EQ(f.clips.storage, b.clips.storage);
  EXPECT_EQ(f.labels.storage, b.labels.storage);
  EXPECT_FALSE(f.host.clips);
  EXPECT_EQ(f.host.index, b.index);
}

/// Each wait taken away: batches come out wrong.
TEST_F(FeedTest, NeedsEachOfItsWaits) {
  runtime.wait = [](Stream stream, kernels::Event event) {
    if (stream.handle != current_stream().handle) kernels::runtime_emulated.wait(stream, event);
  };
  EXPECT_GT(wrong_of(5, Dtype::f32, false), 0) << "transforms must wait for uploads";
  runtime.wait = [](Stream stream, kernels::Event event) {
    if (stream.handle == current_stream().handle) kernels::runtime_emulated.wait(stream, event);
  };
  EXPECT_GT(wrong_of(5, Dtype::f32, false), 0) << "uploads must wait for transforms";
  runtime.wait = kernels::runtime_emulated.wait;
  runtime.wait_for = [](kernels::Event) {};
  EXPECT_GT(wrong_of(5, Dtype::f32, false), 0) << "the host must wait for uploads";
}

}  // namespace
}  // namespace kinema::test
