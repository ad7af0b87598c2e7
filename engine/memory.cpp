#include "engine/memory.h"
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include "engine/gpu.h"
#include "engine/step_arena.h"
#include "kernels/base/view.h"

namespace kinema::engine {

namespace {

constexpr int64_t alignment = 64;
constexpr int64_t huge_page = 2 << 20;
constexpr int64_t page = 4096;
constexpr int64_t small = 64 << 10;  // below this the C library's own cache serves as well
#ifdef __SANITIZE_ADDRESS__
constexpr bool pooled =
    false;  // blocks of exact size, freed at once: the sanitizer sees each fault
#else
constexpr bool pooled = true;
#endif

/// One range of addresses as large as the machine's memory, of which pages come into being when
/// they are first written. A fresh page costs as much as a pass over it, so freed blocks are kept,
/// joined with their neighbours and handed out again, lowest address first: a step of training
/// touches the pages that the step before it touched, and no more than it needs at once.
class Heap {
 public:
  Heap() {
    capacity_ = int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE) / huge_page * huge_page;
    void* range = mmap(nullptr, size_t(capacity_ + huge_page), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    kernels::check(range != MAP_FAILED, "memory: could not reserve ", capacity_,
                   " bytes of addresses; raise the limit of virtual memory (ulimit -v)");
    base_ = reinterpret_cast<char*>(kernels::round_up(int64_t(range), huge_page));
    madvise(base_, size_t(capacity_), MADV_HUGEPAGE);
    free_[0] = capacity_;
  }

  void* take(int64_t bytes) {
    for (auto gap = free_.begin(); gap != free_.end(); ++gap) {
      const auto [at, length] = *gap;
      if (length < bytes) continue;
      free_.erase(gap);
      if (length > bytes) free_[at + bytes] = length - bytes;
      return base_ + at;
    }
    return nullptr;
  }

  void give(void* block, int64_t bytes) {
    int64_t at = static_cast<char*>(block) - base_;
    auto next = free_.lower_bound(at);
    if (next != free_.end() && next->first == at + bytes) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == at) {
        at = before->first;
        bytes += before->second;
        free_.erase(before);
      }
    }
    free_[at] = bytes;
  }

  int64_t capacity() const { return capacity_; }

 private:
  char* base_ = nullptr;
  int64_t capacity_ = 0;
  std::map<int64_t, int64_t> free_;  // offset to length
};

/// What live tensors of one device hold.
class Count {
 public:
  void add(int64_t bytes) {
    std::lock_guard lock(mutex_);
    use_.live += bytes;
    use_.peak = std::max(use_.peak, use_.live);
  }
  MemoryUse use() {
    std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  std::mutex mutex_;
  MemoryUse use_;
};

/// All memory of tensors on the CPU, counted.
class Pool {
 public:
  void* take(int64_t bytes, int64_t& held) {
    std::lock_guard lock(mutex_);
    held = pooled ? kernels::round_up(bytes, bytes < small ? alignment : page) : bytes;
    const bool from_heap = pooled && held >= small;
    void* block = nullptr;
    if (from_heap)
      block = heap().take(held);
    else if (posix_memalign(&block, size_t(alignment), size_t(held)))
      block = nullptr;
    kernels::check(block, "memory: could not allocate ", bytes, " bytes; tensors hold ",
                   count_.use().live, " of ", heap().capacity(),
                   "; use a smaller batch, fewer frames or smaller frames");
    count_.add(held);
    return block;
  }

  void give(void* block, int64_t held) {
    std::lock_guard lock(mutex_);
    count_.add(-held);
    if (pooled && held >= small)
      heap().give(block, held);
    else
      std::free(block);
  }

  MemoryUse use() { return count_.use(); }

 private:
  static Heap& heap() {
    static Heap& instance = *new Heap;
    return instance;
  }

  std::mutex mutex_;
  Count count_;
};

/// Never destroyed: tensors in static storage may outlive any order of destruction.
Pool& pool() {
  static Pool& instance = *new Pool;
  return instance;
}

Count& gpu_count() {
  static Count& instance = *new Count;
  return instance;
}

Block take(Device device, int64_t bytes, bool pinned) {
  bytes = std::max<int64_t>(bytes, 1);
  if (device == Device::meta) return {};
  if (device == Device::gpu) {
    Block block = take_gpu(bytes);
    gpu_count().add(bytes);
    return block;
  }
  if (pinned) {
    const kernels::Runtime& runtime = gpu_runtime();
    return Block(runtime.allocate_pinned(bytes), runtime.release_pinned);
  }
  int64_t held = 0;
  void* const memory = pool().take(bytes, held);
  return Block(memory, [held](void* block) { pool().give(block, held); });
}

}  // namespace

Storage::Storage(Device device, int64_t bytes, bool pinned)
    : bytes_(bytes), device_(device), memory_(take(device, bytes, pinned)) {}

Storage::~Storage() {
  if (device_ == Device::gpu) gpu_count().add(-std::max<int64_t>(bytes_, 1));
}

MemoryUse memory_use(Device device) {
  if (device == Device::meta) return {};
  return device == Device::gpu ? gpu_count().use() : pool().use();
}

}  // namespace kinema::engine
