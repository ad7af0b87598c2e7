#include "engine/data/sample_reader.h"
#include <algorithm>
#include <numeric>

namespace kinema::engine::video {

namespace {

int64_t bytes_of(FrameSize size, int64_t frames) {
  return frames * kernels::fresh_layout(Dtype::u8, {1, 1, size.height, size.width, 3}).stride(1);
}

}  // namespace

SampleReader::SampleReader(const Recipe& recipe, bool training, int64_t samples,
                           int64_t cache_bytes, std::shared_ptr<const VideoIndex> index,
                           std::shared_ptr<FrameCache> disk)
    : recipe_(recipe),
      training_(training),
      index_(std::move(index)),
      disk_(std::move(disk)),
      left_(cache_bytes),
      cache_(size_t(samples)) {}

std::vector<ViewPlan> SampleReader::plan(int64_t total, FrameSize size, RandomKey key) const {
  if (training_) return {training_view(total, size, recipe_, key)};
  std::vector<ViewPlan> plans;
  for (int64_t v = 0; v < recipe_.views(); ++v)
    plans.push_back(testing_view(total, size, recipe_, v));
  return plans;
}

/// Bytes of the cache, given back unless something is kept there.
class SampleReader::Room {
 public:
  Room(SampleReader& reader, int64_t bytes) : reader_(reader) {
    const std::lock_guard lock(reader_.mutex_);
    if (bytes < 0 || bytes > reader_.left_) return;
    bytes_ = bytes;
    reader_.left_ -= bytes;
  }
  ~Room() {
    const std::lock_guard lock(reader_.mutex_);
    reader_.left_ += bytes_;
  }
  bool taken() const { return bytes_ > 0; }
  void keep() { bytes_ = 0; }

 private:
  SampleReader& reader_;
  int64_t bytes_ = 0;
};

void SampleReader::read(const SampleSource& from, RandomKey key, ViewRows rows) {
  try {
    read_anywhere(from, key, rows);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    const std::string text = e.what();
    if (text.find(from.path) != std::string::npos) throw;
    fail(text, " (in ", from.path, ")");
  }
}

void SampleReader::read_anywhere(const SampleSource& from, RandomKey key, ViewRows& rows) {
  std::shared_ptr<const Decoded> cached;
  if (!cache_.empty()) {
    const std::lock_guard lock(mutex_);
    cached = cache_[size_t(from.sample)];
  }
  if (cached) {
    rows.begin(recipe_, plan(cached->total, cached->size, key));
    for (size_t i = 0; i < cached->list.size(); ++i)
      rows.put(cached->frames.view().slice(1, int64_t(i), 1), cached->list[i]);
    return;
  }
  const auto kept = disk_ ? disk_->find(from.name, from.path, recipe_) : nullptr;
  if (!kept) return read_file(from, key, rows);
  rows.begin(recipe_, plan(kept->frames(), kept->size(), key));
  for (int64_t i : rows.frames()) rows.put(kept->frame(i), i);
}

VideoReader SampleReader::open(const SampleSource& from) const {
  const IndexEntry* known = index_ ? index_->find(from.path) : nullptr;
  if (known && !known->error.empty()) throw Error(known->error);
  VideoReader reader(from.path);
  if (known) reader.set_list(known->list());
  return reader;
}

void SampleReader::read_file(const SampleSource& from, RandomKey key, ViewRows& rows) {
  VideoReader reader = open(from);
  const int64_t total = reader.frames();
  check(total > 0, "video: no frame of ", from.path, " can be decoded");
  const FrameSize size = resized(reader.info().size, recipe_);
  rows.begin(recipe_, plan(total, size, key));
  try {
    if (disk_ && disk_->writes() ? read_onto_disk(reader, from, size, rows)
                                 : read_into_memory(reader, from, size, rows))
      return;
  } catch (const Error&) {
    // Some frame is broken, perhaps none that is shown here. A reader of its own: this one may
    // count frames in another way now.
    reader = open(from);
  }
  reader.read(rows.frames(), size, [&](int64_t n, const View& rgb) { rows.put(rgb, n); });
}

/// Keeps what other epochs will show: in training all frames, in testing those of the views. False
/// where there is no room. Errors: one of them is broken.
bool SampleReader::read_into_memory(VideoReader& reader, const SampleSource& from, FrameSize size,
                                    const ViewRows& rows) {
  const int64_t total = reader.frames();
  std::vector<int64_t> list = rows.frames();
  const int64_t keep = training_ ? total : int64_t(list.size());
  Room room(*this, cache_.empty() ? -1 : bytes_of(size, keep));
  if (!room.taken()) return false;
  list.resize(size_t(keep));
  if (training_) std::iota(list.begin(), list.end(), int64_t(0));
  const auto decoded =
      std::make_shared<const Decoded>(Decoded{total, size, list, reader.read(list, size)});
  for (size_t i = 0; i < list.size(); ++i)
    rows.put(decoded->frames.view().slice(1, int64_t(i), 1), list[i]);
  room.keep();
  const std::lock_guard lock(mutex_);
  cache_[size_t(from.sample)] = decoded;
  return true;
}

/// Keeps all frames on disk, one after another: a long video takes no more memory than a short one.
bool SampleReader::read_onto_disk(VideoReader& reader, const SampleSource& from, FrameSize size,
                                  const ViewRows& rows) {
  std::vector<int64_t> all(static_cast<size_t>(reader.frames()));
  std::iota(all.begin(), all.end(), int64_t(0));
  const auto fill = [&](const FrameCache::Take& take) {
    int64_t next = 0;
    reader.read(all, size, [&](int64_t n, const View& rgb) {
      check(n == next++, "video: the frames of ", from.path, " were counted anew");
      take(rgb);
      rows.put(rgb, n);
    });
  };
  return disk_->keep(from.name, from.path, recipe_, int64_t(all.size()), size, fill);
}

}  // namespace kinema::engine::video
