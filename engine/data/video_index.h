#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include "engine/data/video.h"

namespace kinema::engine::video {

/// What tells one state of a file from another.
struct FileStamp {
  int64_t bytes = 0;     ///< 0 for a folder
  int64_t modified = 0;  ///< nanoseconds since 1970
  bool operator==(const FileStamp&) const = default;
};
/// Not given where there is no such file or folder.
std::optional<FileStamp> stamp_of(const std::string& path);

/// What an index knows of one video.
struct IndexEntry {
  FileStamp stamp;
  FrameSize size;  ///< as shown
  double fps = 0;  ///< 0: not said
  int rotation = 0;
  std::string error = {};  ///< why it cannot be read; empty: it can
  /// The reader's FrameList in runs (see below): a regular video takes some ten numbers.
  int64_t frames = 0;
  bool by_timestamp = true;
  std::vector<int64_t> timestamps = {}, key_pts = {}, key_dts = {};

  FrameList list() const;
  bool operator==(const IndexEntry&) const = default;
};

/// Numbers as the first and then runs of equal steps: value, (step, how often)...
std::vector<int64_t> runs_of(const std::vector<int64_t>& values);
std::vector<int64_t> from_runs(const std::vector<int64_t>& runs);

/// Opens the video and reads through it once. A video that cannot be read gives an entry with its
/// error.
IndexEntry look_at(const std::string& path);

/// What is known of the videos of a data set, so that a file is read through once and not each time
/// it is opened. Readers find entries by path; one whose file has another size or time of change by
/// now is no entry. Several threads may find() at a time.
///
/// In a file: one line of JSON {"kinema_index": 1, "entries": N, "fingerprint": of what follows},
/// then one line of JSON for each video.
class VideoIndex {
 public:
  using Progress = std::function<void(int64_t done, int64_t all)>;
  using Warn = std::function<void(const std::string& sentence)>;

  /// The index for `paths`: what `file` holds, refreshed by looking at each video that is new, has
  /// changed or could not be read, on `threads` threads; then written back as a whole, with what it
  /// holds of other videos that still exist. An index that is damaged, cut off or of another
  /// version is built anew, and one that cannot be written is used all the same; `warn` hears why.
  static VideoIndex open(const std::filesystem::path& file, const std::vector<std::string>& paths,
                         int threads, const Warn& warn, const Progress& progress = {});

  /// The entry of a video as it is now; null where there is none.
  const IndexEntry* find(const std::string& path) const;

  /// Without looking at the file.
  const std::map<std::string, IndexEntry>& entries() const { return entries_; }

 private:
  void read(const std::filesystem::path& file);
  void write(const std::filesystem::path& file) const;
  int64_t refresh(const std::vector<std::string>& paths, int threads, const Progress& progress);

  std::map<std::string, IndexEntry> entries_;  // by absolute path
};

/// Where the index of the data at `path` lies unless the user says otherwise:
/// $XDG_CACHE_HOME/kinema/index/FINGERPRINT.json ($HOME/.cache where that is not set), so that data
/// folders may be read-only and nothing is added to them. Empty where neither is set.
std::filesystem::path default_index(const std::string& path);

}  // namespace kinema::engine::video
