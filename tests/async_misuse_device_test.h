#pragma once
#include "kernels/base/backend.h"

namespace kinema::test {

/// A kernel with one mistake, and what the emulation must say of it. `memory` is 4096 bytes.
struct Misuse {
  const char* name;
  const char* report;
  void (*run)(kernels::Stream, void* memory);
};
struct Misuses {
  const Misuse* first;
  int count;
};
KERNELS_OPTIONAL extern const Misuses async_misuses_emulated;

}  // namespace kinema::test
