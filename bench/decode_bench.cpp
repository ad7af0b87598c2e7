#include <filesystem>
#include <memory>
#include <numeric>
#include "bench/support/bench.h"
#include "engine/data/loader.h"
#include "engine/data/motion.h"
#include "engine/data/video.h"

using namespace kinema;
using namespace kinema::engine::video;

namespace fs = std::filesystem;

/// Clips of the motion generator in a temporary folder, made once.
struct Clips {
  fs::path root = fs::temp_directory_path() / "kinema_decode_bench";
  Dataset set;
  Clips() {
    generate_motion(root.string(), {.clips = 16});
    set = scan_folder(root.string());
  }
};

int main(int argc, char** argv) {
  static const Clips clips;
  const int64_t n = int64_t(clips.set.samples.size());
  std::vector<int64_t> frames(20);
  std::iota(frames.begin(), frames.end(), int64_t(0));
  // One thread; a call opens, lists and decodes one file of 20x64x64.
  bench::add("video.open_and_read/20x64x64", 20.0 * 64 * 64 * 3, 0, [=] {
    static int64_t i = 0;
    VideoReader reader(clips.set.samples[size_t(i++ % n)].path);
    reader.frames();
    benchmark::DoNotOptimize(reader.read(frames));
  });
  bench::add("motion.render/20x64x64", 20.0 * 64 * 64 * 3, 0, [] {
    static int64_t i = 0;
    benchmark::DoNotOptimize(render_motion({}, i % 12, i / 12));
    ++i;
  });
  // A call is one epoch of all clips; with the cache, filled before, they come from memory.
  for (bool cached : {false, true}) {
    const auto loader =
        std::make_shared<Loader>(clips.set, Recipe{},
                                 LoaderOptions{.batch = 16,
                                               .training = true,
                                               .shuffle = true,
                                               .threads = 1,
                                               .cache_bytes = cached ? int64_t(1) << 30 : 0});
    Batch first;
    for (loader->start_epoch(0); cached && loader->next(first);) {
    }
    bench::add(std::string("loader.epoch/192 clips/") + (cached ? "cached" : "decoding"),
               double(n * batch_bytes({}, 1, true)), 0, [loader] {
                 static int64_t epoch = 0;
                 Batch batch;
                 for (loader->start_epoch(epoch++); loader->next(batch);) {
                 }
               });
  }
  const int rc = bench::run(argc, argv);
  fs::remove_all(clips.root);
  return rc;
}
