#include "engine/memory.h"
#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include "kernels/base/view.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace kinema::engine {

namespace {

constexpr int64_t alignment = 64;
constexpr int64_t huge_page = 2 << 20;
#ifdef __SANITIZE_ADDRESS__
constexpr bool reuse = false;  // blocks of exact size, freed at once: the sanitizer sees each fault
#else
constexpr bool reuse = true;
#endif

/// Freed blocks by size. Fresh memory from the system costs a page fault every 4 KiB, which is as
/// dear as a pass over it; a step asks for the same sizes as the one before.
class Pool {
 public:
  /// A block of at least `bytes`; `held` receives its true size.
  void* take(int64_t bytes, int64_t& held) {
    std::lock_guard lock(mutex_);
    auto found = free_.lower_bound(bytes);
    // A block far too large would be missing where its size is needed.
    if (found != free_.end() && found->first <= bytes + bytes / 8 + 4096) {
      held = found->first;
      void* block = found->second;
      free_.erase(found);
      use_.cached -= held;
      count(held);
      return block;
    }
    return fresh(bytes, held);
  }

  void give(void* block, int64_t held) {
    std::lock_guard lock(mutex_);
    use_.live -= held;
    if (!reuse) return std::free(block);
    use_.cached += held;
    free_.emplace(held, block);
  }

  void trim() {
    std::lock_guard lock(mutex_);
    release_all();
  }

  MemoryUse use() {
    std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  void* fresh(int64_t bytes, int64_t& held) {
    if (!reuse) {
      held = bytes;
      count(held);
      void* exact = nullptr;
      kernels::check(!posix_memalign(&exact, size_t(alignment), size_t(bytes)),
                     "memory: could not allocate ", bytes, " bytes");
      return exact;
    }
    held = kernels::round_up(bytes, bytes >= huge_page ? huge_page : alignment);
    // What is kept for reuse but did not fit must not raise the peak.
    if (use_.live + use_.cached + held > use_.peak && use_.cached > 0) release_largest(held);
    const int64_t align = bytes >= huge_page ? huge_page : alignment;
    void* block = std::aligned_alloc(size_t(align), size_t(held));
    if (!block) {
      release_all();
      block = std::aligned_alloc(size_t(align), size_t(held));
    }
    kernels::check(block, "memory: could not allocate ", bytes, " bytes; tensors hold ", use_.live,
                   "; use a smaller batch, fewer frames or smaller frames");
#ifdef __linux__
    if (bytes >= huge_page) madvise(block, size_t(held), MADV_HUGEPAGE);
#endif
    count(held);
    return block;
  }

  void count(int64_t held) {
    use_.live += held;
    use_.peak = std::max(use_.peak, use_.live);
  }

  void release_largest(int64_t wanted) {
    while (wanted > 0 && !free_.empty()) {
      auto last = std::prev(free_.end());
      wanted -= last->first;
      use_.cached -= last->first;
      std::free(last->second);
      free_.erase(last);
    }
  }
  void release_all() { release_largest(use_.cached); }

  std::mutex mutex_;
  std::multimap<int64_t, void*> free_;
  MemoryUse use_;
};

/// Never destroyed: tensors in static storage may outlive any order of destruction.
Pool& pool() {
  static Pool& instance = *new Pool;
  return instance;
}

}  // namespace

Storage::Storage(Device device, int64_t bytes) : bytes_(bytes), device_(device) {
  if (device == Device::cpu) data_ = pool().take(std::max<int64_t>(bytes, 1), held_);
}

Storage::~Storage() {
  if (data_) pool().give(data_, held_);
}

MemoryUse memory_use() { return pool().use(); }
void trim_memory() { pool().trim(); }

}  // namespace kinema::engine
