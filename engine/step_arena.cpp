#include "engine/step_arena.h"
#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>
#include <vector>
#include "engine/gpu.h"
#include "kernels/base/view.h"

namespace kinema::engine {

namespace {
constexpr int64_t alignment = 256;
}

/// Chunks, and the gaps between what is in use.
class ArenaState {
 public:
  ArenaState(Stream stream, int64_t chunk) : stream_(stream), chunk_(chunk) {}
  ~ArenaState() {
    for (const Chunk& c : chunks_) runtime_.give(stream_, c.base, c.bytes);
  }
  ArenaState(const ArenaState&) = delete;
  ArenaState& operator=(const ArenaState&) = delete;

  void* take(Stream stream, int64_t bytes) {
    std::lock_guard lock(mutex_);
    check(stream.handle == stream_.handle,
          "step arena: it serves the stream that it was made for, but was asked on another");
    const int64_t length = length_of(bytes);
    auto gap = by_length_.lower_bound({length, {0, 0}});
    if (gap == by_length_.end()) {
      grow(length);
      gap = by_length_.lower_bound({length, {0, 0}});
    }
    const auto [whole, place] = *gap;
    by_length_.erase(gap);
    gaps_.erase(place);
    if (whole > length) add_gap({place.first, place.second + length}, whole - length);
    used_ += length;
    return chunks_[place.first].base + place.second;
  }

  void give(const void* memory, int64_t bytes) {
    std::lock_guard lock(mutex_);
    const auto* at = static_cast<const char*>(memory);
    const auto chunk = std::find_if(chunks_.begin(), chunks_.end(), [=](const Chunk& c) {
      return at >= c.base && at < c.base + c.bytes;
    });
    const Place place{size_t(chunk - chunks_.begin()), at - chunk->base};
    used_ -= length_of(bytes);
    add_gap(place, length_of(bytes));
  }

  void fix() { fixed_ = true; }
  int64_t used() const { return used_; }
  int64_t held() const { return held_; }
  const kernels::MemorySource& source() const { return source_; }

 private:
  using Place = std::pair<size_t, int64_t>;  ///< chunk and offset
  struct Chunk {
    char* base;
    int64_t bytes;
  };

  static int64_t length_of(int64_t bytes) {
    return kernels::round_up(std::max<int64_t>(bytes, 1), alignment);
  }

  void grow(int64_t length) {
    const int64_t largest = by_length_.empty() ? 0 : by_length_.rbegin()->first;
    check(!fixed_, "step arena: a step of fixed memory asked for ", length,
          " bytes more; it holds ", held_, ", of which ", used_, " are in use and ", largest,
          " lie in one piece; a captured step must allocate as the steps before it did");
    const int64_t bytes = std::max(length, chunk_);
    chunks_.push_back({static_cast<char*>(runtime_.take(stream_, bytes)), bytes});
    held_ += bytes;
    add_gap({chunks_.size() - 1, 0}, bytes);
  }

  /// Joins it with the gaps on both sides.
  void add_gap(Place place, int64_t length) {
    auto next = gaps_.lower_bound(place);
    if (next != gaps_.end() && next->first == Place{place.first, place.second + length}) {
      length += next->second;
      by_length_.erase({next->second, next->first});
      next = gaps_.erase(next);
    }
    if (next != gaps_.begin()) {
      const auto before = std::prev(next);
      const auto [at, size] = *before;
      if (at.first == place.first && at.second + size == place.second) {
        by_length_.erase({size, at});
        gaps_.erase(before);
        place = at;
        length += size;
      }
    }
    gaps_[place] = length;
    by_length_.insert({length, place});
  }

  const kernels::Runtime& runtime_ = gpu_runtime();
  const Stream stream_;
  const int64_t chunk_;
  mutable std::mutex mutex_;
  bool fixed_ = false;
  int64_t used_ = 0, held_ = 0;
  std::vector<Chunk> chunks_;
  std::map<Place, int64_t> gaps_;
  std::set<std::pair<int64_t, Place>> by_length_;
  kernels::MemorySource source_{
      .take = [](void* self, Stream stream,
                 int64_t bytes) { return static_cast<ArenaState*>(self)->take(stream, bytes); },
      .give = [](void* self, Stream, void* memory,
                 int64_t bytes) { static_cast<ArenaState*>(self)->give(memory, bytes); },
      .context = this};
};

namespace {

thread_local std::shared_ptr<ArenaState> arena_now;

std::shared_ptr<ArenaState> enter(std::shared_ptr<ArenaState> arena) {
  gpu_runtime().workspace_from(arena ? &arena->source() : nullptr);
  return std::exchange(arena_now, std::move(arena));
}

}  // namespace

StepArena::StepArena(Stream stream, int64_t chunk)
    : state_(std::make_shared<ArenaState>(stream, kernels::round_up(chunk, alignment))) {}
void StepArena::fix() { state_->fix(); }
int64_t StepArena::used() const { return state_->used(); }
int64_t StepArena::held() const { return state_->held(); }

StepArena::Scope::Scope(StepArena& arena) : before_(enter(arena.state_)) {}
StepArena::Scope::~Scope() { enter(std::move(before_)); }

Block take_gpu(int64_t bytes) {
  const kernels::Runtime& runtime = gpu_runtime();
  const Stream stream = current_stream();
  if (const auto arena = arena_now)
    return Block(arena->take(stream, bytes), [=](void* memory) { arena->give(memory, bytes); });
  return Block(runtime.take(stream, bytes),
               [=, &runtime](void* memory) { runtime.give(stream, memory, bytes); });
}

}  // namespace kinema::engine
