// labels: slow
#include <atomic>
#include <thread>
#include "engine/data/loader.h"
#include "engine/data/video_writer.h"
#include "engine/train/progress.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using namespace kinema::engine::video;

constexpr int64_t samples = 10000;

/// 10,000 samples of four small videos, each under 2,500 names so that an index has 10,000 entries.
struct Many : Folder {
  Dataset set;
  Many() {
    set.classes = {"x"};
    for (int v = 0; v < 4; ++v) {
      VideoWriter writer((*this / (std::to_string(v) + ".mp4")).string(), 48, 64, {.quality = 0});
      for (int f = 0; f < 8; ++f)
        writer.write(full({1, 1, 48, 64, 3}, 30 * v + f, Dtype::u8).view());
      writer.close();
    }
    for (int64_t i = 0; i < samples; ++i) {
      const auto name = *this / ("link" + std::to_string(i) + ".mp4");
      std::filesystem::create_symlink(std::to_string(i % 4) + ".mp4", name);
      set.samples.push_back({name.string(), 0});
    }
  }
};

/// The most that the process and its tensors held while it lived, looked at each millisecond.
class Watch {
 public:
  Watch() : thread_([this] { run(); }) {}
  ~Watch() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::atomic<int64_t> resident = 0, tensors = 0;

 private:
  void run() {
    while (!stop_) {
      resident = std::max(resident.load(), train::memory_held());
      tensors = std::max(tensors.load(), memory_use().live);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(DataMemory, TenThousandVideosStayUnderTheCap) {
  const Many f;
  std::vector<std::string> paths;
  for (const Sample& s : f.set.samples) paths.push_back(s.path);
  const auto index = std::make_shared<const VideoIndex>(
      VideoIndex::open(f / "index.json", paths, 2, [](const std::string& s) { FAIL() << s; }));
  ASSERT_EQ(int64_t(index->entries().size()), samples);
  const Recipe recipe{.frames = 8, .height = 48, .width = 48};
  const int64_t bytes = batch_bytes(recipe, 8, true), cap = 4 * bytes, cache = 16 << 20;
  SkippedFiles skipped([](const std::string& s) { FAIL() << s; });
  Loader loader(f.set, recipe,
                {.batch = 8,
                 .training = true,
                 .shuffle = true,
                 .threads = 2,
                 .memory_cap_bytes = cap,
                 .cache_bytes = cache,
                 .index = index,
                 .skipped = &skipped});
  Batch batch;
  loader.start_epoch(0);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(loader.next(batch));  // what decoders keep is there now
  const int64_t tensors = memory_use().live, resident = train::memory_held();
  Watch watch;
  int64_t seen = 160;
  while (loader.next(batch)) {
    seen += batch.clips.shape(0);
    // Now and then a slow step: the workers run ahead as far as they may.
    if (seen % 2000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  watch.stop();
  EXPECT_EQ(seen, samples);
  // Beside the batches that wait: the one held here, and a frame or two of each worker on its way.
  // The allocator rounds each block up by at most an eighth.
  const int64_t frames = 2 * 4 * 64 * 64 * 3 * 4;
  EXPECT_LE(watch.tensors, (cap + bytes + cache + frames) * 9 / 8);
  // The rest of the process may not grow with the number of videos either: 10,000 decoders that
  // leave 1 KB each behind would show.
  EXPECT_LE(watch.resident - resident, cache + bytes + (8 << 20)) << "was " << tensors;
}

}  // namespace
}  // namespace kinema::test
