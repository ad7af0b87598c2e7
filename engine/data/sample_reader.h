#pragma once
#include <mutex>
#include "engine/data/transform.h"

namespace kinema::engine::video {

/// From a video file to the rows of a batch, with a cache of decoded frames. Inside engine/data/;
/// several threads may read different samples at a time.
class SampleReader {
 public:
  SampleReader(const Recipe& recipe, bool training, int64_t samples, int64_t cache_bytes);

  /// Fills `rows` (f32 [V,T,H,W,3]) with the training view that `key` draws (V = 1), or with all
  /// testing views. `sample` is the place in the cache. Errors name `path`.
  void read(const std::string& path, int64_t sample, RandomKey key, const View& rows);

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
  void read_file(const std::string& path, int64_t sample, RandomKey key, const View& rows);
  void put(const View& frame, int64_t number, const std::vector<ViewPlan>& plans,
           const View& rows) const;

  const Recipe recipe_;
  const bool training_;
  std::mutex mutex_;
  int64_t left_;  // bytes of the cache that are not taken
  std::vector<std::shared_ptr<const Decoded>> cache_;
};

}  // namespace kinema::engine::video
