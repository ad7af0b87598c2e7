#pragma once
#include <mutex>
#include "engine/data/frame_cache.h"
#include "engine/data/video_index.h"
#include "engine/data/view_rows.h"

namespace kinema::engine::video {

/// Where a sample's frames come from.
struct SampleSource {
  std::string path;
  std::string name;    ///< in its data set, for the cache on disk
  int64_t sample = 0;  ///< its place in the cache in memory
};

/// From a video file to the rows of a batch, by way of caches of decoded frames: one in memory, one
/// on disk. Neither changes a value. Inside engine/data/; several threads may read different
/// samples at a time.
class SampleReader {
 public:
  /// `index` and `disk` may be null.
  SampleReader(const Recipe& recipe, bool training, int64_t samples, int64_t cache_bytes,
               std::shared_ptr<const VideoIndex> index = {}, std::shared_ptr<FrameCache> disk = {});

  /// Fills `rows` with the training view that `key` draws (one row), or with all testing views.
  /// Errors name the path, but std::bad_alloc.
  void read(const SampleSource& from, RandomKey key, ViewRows rows);

 private:
  /// Frames of one video after the resize; every frame in training, those of the views in testing.
  struct Decoded {
    int64_t total = 0;
    FrameSize size;
    std::vector<int64_t> list;  // ascending: which frames
    Tensor frames;              // u8 [1,list,H,W,3]
  };

  class Room;

  std::vector<ViewPlan> plan(int64_t total, FrameSize size, RandomKey key) const;
  void read_anywhere(const SampleSource& from, RandomKey key, ViewRows& rows);
  VideoReader open(const SampleSource& from) const;
  void read_file(const SampleSource& from, RandomKey key, ViewRows& rows);
  bool read_into_memory(VideoReader& reader, const SampleSource& from, FrameSize size,
                        const ViewRows& rows);
  bool read_onto_disk(VideoReader& reader, const SampleSource& from, FrameSize size,
                      const ViewRows& rows);

  const Recipe recipe_;
  const bool training_;
  const std::shared_ptr<const VideoIndex> index_;
  const std::shared_ptr<FrameCache> disk_;
  std::mutex mutex_;
  int64_t left_;  // bytes of the cache that are not taken
  std::vector<std::shared_ptr<const Decoded>> cache_;
};

}  // namespace kinema::engine::video
