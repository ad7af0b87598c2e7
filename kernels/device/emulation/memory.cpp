#include <cstdlib>
#include <cstring>
#include <new>
#include "kernels/device/emulation/emulation.h"

namespace kinema::kernels::device::emulation {

void* allocate(int64_t bytes) {
  void* memory = nullptr;
  const size_t size = bytes > 0 ? size_t(bytes) : 1;
  if (posix_memalign(&memory, 256, size)) throw std::bad_alloc();
  std::memset(memory, 0xff, size);
  return memory;
}
void release(void* memory) { std::free(memory); }

}  // namespace kinema::kernels::device::emulation
