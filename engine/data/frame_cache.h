#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include "engine/data/transform.h"

namespace kinema::engine::video {

/// The frames of one video as a FrameCache keeps them, mapped into memory.
class CachedVideo {
 public:
  int64_t frames() const { return all_.shape[1]; }
  FrameSize size() const { return {all_.shape[2], all_.shape[3]}; }
  /// u8 [1,1,H,W,3], valid while this lives.
  View frame(int64_t i) const { return all_.slice(1, i, 1); }

 private:
  friend class FrameCache;
  struct Mapping;
  std::shared_ptr<const Mapping> mapping_;
  View all_;  // u8 [1,T,H,W,3]
};

/// Every frame of videos, resized as a recipe says before its crop, in a folder: one safetensors
/// file a video, "frames" u8 [1,T,H,W,3]. It takes the place of decoding, also on a machine that
/// has neither the videos nor FFmpeg. Files are found by the video's name in its data set and the
/// recipe's resize, and by size and time of change of the video where that is there; they are
/// written as a whole, so that several processes may share the folder. Any thread may call it.
class FrameCache {
 public:
  using Warn = std::function<void(const std::string& sentence)>;

  /// Makes the folder. A cache that cannot be written to, or whose disk is full, is read from all
  /// the same: `warn` hears so once.
  FrameCache(std::filesystem::path folder, Warn warn);

  /// The frames of the video `name`, whose file is at `path`; empty where they are not kept. A file
  /// that is damaged counts as none. Without a file at `path`, the frames of any state of it.
  /// Errors: there are frames of several states, and no file to tell which.
  std::shared_ptr<const CachedVideo> find(const std::string& name, const std::string& path,
                                          const Recipe& recipe) const;

  /// False after a failure to write: nothing is kept any more.
  bool writes() const { return writes_; }

  /// Hands `fill` a function that takes the frames, from the first to the last, and keeps them;
  /// false where they could not be kept. What `fill` throws passes through; nothing is kept then.
  /// Without a file at `path` they are frames that were never a video.
  using Take = std::function<void(const View& frame)>;
  bool keep(const std::string& name, const std::string& path, const Recipe& recipe, int64_t frames,
            FrameSize size, const std::function<void(const Take&)>& fill);

 private:
  std::filesystem::path file_of(const std::string& name, const std::string& path,
                                const Recipe& recipe) const;
  std::filesystem::path any_state(const std::string& prefix, const std::string& name,
                                  const std::string& path) const;
  void stop_writing(const std::string& why);

  std::filesystem::path folder_;
  Warn warn_;
  mutable std::mutex mutex_;  // of warn_ and listed_
  /// Files by what their names begin with, as the folder was last listed.
  mutable std::map<std::string, std::vector<std::filesystem::path>> listed_;
  std::atomic<bool> writes_ = true;
};

}  // namespace kinema::engine::video
