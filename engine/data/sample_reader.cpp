#include "engine/data/sample_reader.h"
#include <algorithm>
#include <numeric>

namespace kinema::engine::video {

namespace {

/// The frames that any of the plans shows, ascending.
std::vector<int64_t> frames_of(const std::vector<ViewPlan>& plans) {
  std::vector<int64_t> list;
  for (const ViewPlan& p : plans) list.insert(list.end(), p.frames.begin(), p.frames.end());
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

int64_t bytes_of(FrameSize size, int64_t frames) {
  return frames * kernels::fresh_layout(Dtype::u8, {1, 1, size.height, size.width, 3}).stride(1);
}

}  // namespace

SampleReader::SampleReader(const Recipe& recipe, bool training, int64_t samples,
                           int64_t cache_bytes)
    : recipe_(recipe), training_(training), left_(cache_bytes), cache_(size_t(samples)) {}

std::vector<ViewPlan> SampleReader::plan(int64_t total, FrameSize size, RandomKey key) const {
  if (training_) return {training_view(total, size, recipe_, key)};
  std::vector<ViewPlan> plans;
  for (int64_t v = 0; v < recipe_.views(); ++v)
    plans.push_back(testing_view(total, size, recipe_, v));
  return plans;
}

/// Writes one frame to each place of `rows` that shows it.
void SampleReader::put(const View& frame, int64_t number, const std::vector<ViewPlan>& plans,
                       const View& rows) const {
  for (size_t v = 0; v < plans.size(); ++v)
    for (size_t t = 0; t < plans[v].frames.size(); ++t)
      if (plans[v].frames[t] == number)
        normalise(frame, recipe_, plans[v].corner, plans[v].mirrored,
                  rows.slice(0, int64_t(v), 1).slice(1, int64_t(t), 1));
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

void SampleReader::read(const std::string& path, int64_t sample, RandomKey key, const View& rows) {
  std::shared_ptr<const Decoded> cached;
  if (!cache_.empty()) {
    const std::lock_guard lock(mutex_);
    cached = cache_[size_t(sample)];
  }
  if (cached) {
    const std::vector<ViewPlan> plans = plan(cached->total, cached->size, key);
    for (size_t i = 0; i < cached->list.size(); ++i)
      put(cached->frames.view().slice(1, int64_t(i), 1), cached->list[i], plans, rows);
    return;
  }
  try {
    read_file(path, sample, key, rows);
  } catch (const std::exception& e) {
    const std::string text = e.what();
    if (text.find(path) != std::string::npos) throw;
    fail(text, " (in ", path, ")");
  }
}

void SampleReader::read_file(const std::string& path, int64_t sample, RandomKey key,
                             const View& rows) {
  VideoReader reader(path);
  const int64_t total = reader.frames();
  check(total > 0, "video: no frame of ", path, " can be decoded");
  const FrameSize size = resized(reader.info().size, recipe_);
  const std::vector<ViewPlan> plans = plan(total, size, key);
  std::vector<int64_t> list = frames_of(plans);
  // In training other epochs show other frames: all are kept, or none.
  const int64_t keep = training_ ? total : int64_t(list.size());
  Room room(*this, cache_.empty() ? -1 : bytes_of(size, keep));
  if (!room.taken()) {
    reader.read(list, size, [&](int64_t n, const View& rgb) { put(rgb, n, plans, rows); });
    return;
  }
  list.resize(size_t(keep));
  if (training_) std::iota(list.begin(), list.end(), int64_t(0));
  const auto decoded =
      std::make_shared<const Decoded>(Decoded{total, size, list, reader.read(list, size)});
  for (size_t i = 0; i < list.size(); ++i)
    put(decoded->frames.view().slice(1, int64_t(i), 1), list[i], plans, rows);
  room.keep();
  const std::lock_guard lock(mutex_);
  cache_[size_t(sample)] = decoded;
}

}  // namespace kinema::engine::video
