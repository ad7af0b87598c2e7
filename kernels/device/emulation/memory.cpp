#include <sys/mman.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include "kernels/device/emulation/race.h"

namespace kinema::kernels::device::emulation {

uintptr_t range_begin = uintptr_t(1) << 63;  // no address so far

namespace {

// Under the race detector device memory is a range of addresses of its own, so that a look at a
// pointer tells what it is. An allocation takes whole pages, others between it and the next one are
// nobody's, and no address is used twice: what strays out of an allocation, or comes too late,
// meets a page that is not in use.
constexpr size_t page = 4096, pages_between = 16;
std::atomic<size_t> next_page{1};
/// How many bytes of each page are in use.
uint16_t* used = nullptr;

char* allocate_in_range(size_t bytes) {
  static const bool reserved = [] {
    used = static_cast<uint16_t*>(reserve_memory(range_bytes / page * sizeof(uint16_t)));
    range_begin = reinterpret_cast<uintptr_t>(reserve_memory(range_bytes));
    return true;
  }();
  (void)reserved;
  const size_t first = next_page.fetch_add((bytes + page - 1) / page + pages_between);
  if (first * page + bytes >= range_bytes) throw std::bad_alloc();
  char* memory = reinterpret_cast<char*>(range_begin) + first * page;
  for (size_t i = 0; i * page < bytes; ++i)
    used[first + i] = uint16_t(std::min(page, bytes - i * page));
  return memory;
}

void release_in_range(char* memory) {
  const size_t first = (reinterpret_cast<uintptr_t>(memory) - range_begin) / page;
  size_t pages = 0;
  while (used[first + pages]) used[first + pages++] = 0;
  madvise(memory, pages * page, MADV_DONTNEED);
  race::forget(memory, pages * page);
}

}  // namespace

void* reserve_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

void check_global(const void* p, size_t bytes) {
  const size_t offset = reinterpret_cast<uintptr_t>(p) - range_begin, end = offset + bytes - 1;
  if (end % page < used[end / page] && offset % page < used[offset / page]) return;
  size_t last = offset / page;
  while (last > 0 && !used[last]) --last;
  fail(
      "%zu bytes of global memory at %p lie outside of every allocation: the last one before ends "
      "at %p",
      bytes, p, reinterpret_cast<void*>(range_begin + last * page + used[last]));
}

void* allocate(int64_t bytes) {
  void* memory = nullptr;
  const auto size = size_t(bytes);
  if (race::on)
    memory = allocate_in_range(size);
  else if (posix_memalign(&memory, 256, std::max(size, size_t(1))))
    throw std::bad_alloc();
  std::memset(memory, 0xff, size);
  return memory;
}
void release(void* memory) {
  if (!race::on)
    std::free(memory);
  else if (memory)
    release_in_range(static_cast<char*>(memory));
}

}  // namespace kinema::kernels::device::emulation
