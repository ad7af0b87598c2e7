#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include "engine/data/loader.h"
#include "engine/data/video.h"

// decode_clips FILE REPEATS SHORT_SIDE CROP INDEX: all frames of FILE as one normalised clip,
// REPEATS times, by the loader with two threads, no frame cached, and an index of the file in
// INDEX, as training has it. Prints frames, seconds and the seconds of all processors.

using namespace kinema::engine::video;

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: decode_clips FILE REPEATS SHORT_SIDE CROP INDEX\n");
    return 2;
  }
  try {
    const int64_t repeats = std::atoll(argv[2]), crop = std::atoll(argv[4]);
    const auto index = std::make_shared<const VideoIndex>(
        VideoIndex::open(argv[5], {argv[1]}, 1,
                         [](const std::string& s) { std::fprintf(stderr, "%s\n", s.c_str()); }));
    const IndexEntry* video = index->find(argv[1]);
    kinema::engine::check(video && video->error.empty(), "decode_clips: ", argv[1],
                          " cannot be read");
    const int64_t frames = video->frames;
    Dataset set;
    set.classes = {"any"};
    set.samples.assign(size_t(repeats), {.path = argv[1], .label = 0});
    Loader loader(
        set, {.frames = frames, .short_side = std::atoll(argv[3]), .height = crop, .width = crop},
        {.batch = 1, .threads = 2, .cache_bytes = 0, .index = index});
    Batch batch;
    // Once for the memory of the batches, which a training takes once and keeps.
    for (loader.start_epoch(0); loader.next(batch);) {
    }
    const std::clock_t processor = std::clock();
    const auto start = std::chrono::steady_clock::now();
    int64_t made = 0;
    for (loader.start_epoch(1); loader.next(batch);) made += frames;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%lld %.6f %.6f\n", static_cast<long long>(made), seconds.count(),
                double(std::clock() - processor) / CLOCKS_PER_SEC);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "decode_clips: %s\n", e.what());
    return 1;
  }
}
