#pragma once
#include <functional>
#include <memory>
#include <vector>
#include "engine/data/dataset.h"
#include "engine/data/frame_cache.h"
#include "engine/data/skipped.h"
#include "engine/data/video_index.h"
#include "engine/data/view_rows.h"
#include "engine/tensor.h"

namespace kinema::engine::video {

/// Rows that lie together, `views` at a time, are views of one sample.
struct Batch {
  Tensor clips;                ///< f32 [N,T,H,W,3], or
  std::vector<RawClip> raw;    ///< [N]: what makes them
  Tensor labels;               ///< i64 [N]
  Tensor targets;              ///< f32 [N,classes], 1 for each label; of a multi-label set alone
  std::vector<int64_t> index;  ///< [N]: which sample of the data set
  /// 1 in training; in testing recipe.views(), or less where they come in pieces.
  int64_t views = 1;

  int64_t rows() const { return int64_t(index.size()); }
};

struct LoaderOptions {
  int64_t batch = 16;      ///< samples, of `views` rows each
  bool training = false;   ///< random clips, crops and flips; else the evenly spaced views
  bool shuffle = false;    ///< a new order each epoch
  bool drop_last = false;  ///< leave out a last batch that is not full
  uint64_t seed = 1;
  bool raw = false;  ///< batches hold raw clips, for a device to transform; else clips
  /// Testing with more views than this: they come in pieces of at most so many, one video after
  /// another (`batch` and the cache play no part), so that memory does not grow with their number.
  /// 0: all views of a sample in one batch.
  int64_t views_at_once = 0;
  int threads = 2;                              ///< that decode
  int64_t memory_cap_bytes = int64_t(1) << 30;  ///< of batches that are made or wait
  /// Of decoded, resized videos kept in memory; 0: none. With a frame_cache the system's own file
  /// cache takes this place.
  int64_t cache_bytes = int64_t(512) << 20;
  std::shared_ptr<const VideoIndex> index = {};
  std::shared_ptr<FrameCache> frame_cache = {};
  /// Hears of samples that cannot be read, whose rows are then left out of their batch; a batch
  /// without any is passed over. Which these are depends on the files and on what is shown of them
  /// alone. Without it, next() throws the Error of the first. Must outlive the loader.
  SkippedFiles* skipped = nullptr;
};

/// Decodes ahead on threads of its own. Order and content depend on the seed, the epoch and the
/// sample alone: not on threads, memory cap or cache.
/// A video is cached whole, as resized u8 frames, where it fits into what is left of cache_bytes.
class Loader {
 public:
  /// Errors: an empty data set; a memory cap below one batch; too many samples that the index
  /// knows to be broken (see SkippedFiles).
  Loader(Dataset dataset, Recipe recipe, LoaderOptions options);
  /// Joins the threads, also in the middle of an epoch.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  const Dataset& dataset() const;
  const Recipe& recipe() const;
  const LoaderOptions& options() const;

  /// Batches of an epoch.
  int64_t batches() const;

  /// Begins epoch `epoch` at its batch number `first_batch`, as if those before had been taken;
  /// what was left of another is dropped. Errors: a batch past the end of the epoch.
  void start_epoch(int64_t epoch, int64_t first_batch = 0);

  /// The next batch; false at the epoch's end. Where samples cannot be read and nobody hears of
  /// skipped ones, or too many are, it throws an Error that names the file and ends the epoch.
  bool next(Batch& batch);

  /// How many batches of the epoch next() has given or passed over: where start_epoch() goes on.
  int64_t position() const;

  /// Seconds that next() has waited, over all epochs.
  double wait_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Bytes of one batch of `samples` samples; at most so many of raw clips.
int64_t batch_bytes(const Recipe& recipe, int64_t samples, bool training);

/// The views of one video (a file or a folder of frames) as the loader makes them in testing: f32
/// [views,T,H,W,3].
Tensor load_views(const std::string& path, const Recipe& recipe);

}  // namespace kinema::engine::video
