#include "engine/train/feed.h"
#include <array>
#include <cstring>
#include <utility>
#include "engine/gpu.h"
#include "engine/ops/clip_transform.h"

namespace kinema::engine::train {

namespace {

using video::RawClip;

/// Of whatever lies in a slot, in bytes: kernels read packs.
constexpr int64_t alignment = 16;

/// A turn's memory. Its two events keep what it holds until it has been read.
struct Slot {
  Tensor staging, device;      // u8: pinned memory of the host, and the same on the GPU
  kernels::Event uploaded;     // the staging memory has been read
  kernels::Event transformed;  // the GPU's has been read
};

int64_t bytes_of(const Tensor& t) {
  return t ? kernels::span(t.view()) * kernels::size_of(t.dtype()) : 0;
}

/// How many clips from `first` on have frames of one size: one launch.
int64_t run_of(const std::vector<RawClip>& raw, size_t first) {
  size_t end = first + 1;
  while (end < raw.size() && raw[end].frames.shape() == raw[first].frames.shape()) ++end;
  return int64_t(end - first);
}

}  // namespace

struct Feed::Ring {
  const kernels::Runtime& gpu = gpu_runtime();
  Stream uploads = gpu.make_stream();
  std::array<Slot, 2> slots;
  size_t turn = 0;

  Ring() {
    for (Slot& s : slots) s.uploaded = gpu.make_event(), s.transformed = gpu.make_event();
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();
  Slot& next(int64_t bytes);
};

Feed::Ring::~Ring() {
  try {
    for (Slot& s : slots) gpu.wait_for(s.uploaded), gpu.wait(uploads, s.transformed);
  } catch (const Error&) {  // the device is lost: nothing of it is read any more
  }
  for (Slot& s : slots) {
    s.device = {};
    gpu.drop_event(s.uploaded), gpu.drop_event(s.transformed);
  }
  gpu.drop_stream(uploads);
}

/// The slot whose turn it is, for the host to write its staging memory and for `uploads` to write
/// the GPU's: what used them before has ended then.
Slot& Feed::Ring::next(int64_t bytes) {
  Slot& s = slots[turn];
  turn = (turn + 1) % slots.size();
  gpu.wait_for(s.uploaded);
  gpu.wait(uploads, s.transformed);
  if (!s.staging || s.staging.size() < bytes) {
    const StreamScope scope(uploads);
    s.staging = empty_pinned({bytes}, Dtype::u8);
    s.device = empty({bytes}, Dtype::u8, Device::gpu);
  }
  return s;
}

Feed::Feed(const video::Recipe& recipe, Dtype type) : recipe_(recipe), type_(type) {}
Feed::~Feed() = default;

FedBatch Feed::bring(video::Batch batch) {
  FedBatch fed{std::exchange(batch.clips, {}), batch.labels, batch.targets, {}};
  if (!batch.raw.empty()) bring_raw(batch, fed);
  batch.raw.clear();
  fed.host = std::move(batch);
  return fed;
}

void Feed::bring_raw(const video::Batch& batch, FedBatch& fed) {
  if (!ring_) ring_ = std::make_unique<Ring>();
  const kernels::Runtime& gpu = ring_->gpu;
  const Stream stream = current_stream();
  std::vector<Tensor> parts;
  for (const RawClip& raw : batch.raw) parts.push_back(raw.frames);
  parts.insert(parts.end(), {batch.labels, batch.targets});
  std::vector<int64_t> places = {0};
  for (const Tensor& part : parts)
    places.push_back(places.back() + kernels::round_up(bytes_of(part), alignment));

  const Slot& slot = ring_->next(places.back());
  for (size_t i = 0; i < parts.size(); ++i)
    if (parts[i])
      std::memcpy(data<uint8_t>(slot.staging) + places[i], parts[i].layout.data,
                  size_t(bytes_of(parts[i])));
  gpu.upload_later(ring_->uploads, data<uint8_t>(slot.staging), data<uint8_t>(slot.device),
                   places.back());
  gpu.record(slot.uploaded, ring_->uploads);
  gpu.wait(stream, slot.uploaded);

  const size_t rows = batch.raw.size();
  uint8_t* at = data<uint8_t>(slot.device);
  fed.clips =
      empty({int64_t(rows), recipe_.frames, recipe_.height, recipe_.width, 3}, type_, Device::gpu);
  for (size_t first = 0; first < rows;) {
    const int64_t count = run_of(batch.raw, first);
    View frames = batch.raw[first].frames.view();
    frames.data = at + places[first];
    frames.shape[0] = count;
    std::vector<ClipPlan> plans;
    for (int64_t i = 0; i < count; ++i) plans.push_back(batch.raw[first + size_t(i)].plan);
    clip_transform({recipe_.mean, recipe_.deviation}, plans, frames,
                   fed.clips.view().slice(0, int64_t(first), count), Device::gpu);
    first += size_t(count);
  }
  for (const auto& [to, i] : {std::pair(&fed.labels, rows), {&fed.targets, rows + 1}}) {
    if (!parts[i]) continue;
    *to = empty(parts[i].shape(), parts[i].dtype(), Device::gpu);
    gpu.copy(stream, at + places[i], to->layout.data, bytes_of(parts[i]));
  }
  gpu.record(slot.transformed, stream);
}

}  // namespace kinema::engine::train
