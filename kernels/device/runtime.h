#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/gpu.h"

namespace kinema::kernels {

/// The host's side of a device: memory, and waiting. Errors: no device; memory that runs out, with
/// what was asked, held and free; whatever went wrong on the device since.
struct Runtime {
  int (*devices)();                  ///< 0: nothing here runs
  const Gpu& (*gpu)();               ///< the current one
  void* (*allocate)(int64_t bytes);  ///< 256-byte aligned
  void (*release)(void*);
  void (*upload)(Stream, const void* host, void* device, int64_t bytes);    ///< returns when done
  void (*download)(Stream, const void* device, void* host, int64_t bytes);  ///< returns when done
  void (*copy)(Stream, const void* from, void* to, int64_t bytes);          ///< within the device
  void (*synchronize)(Stream);
  /// Seconds on the device between the start and the end of what work(context) puts in the stream.
  double (*seconds)(Stream, void (*work)(void*), void* context);
};
KERNELS_OPTIONAL extern const Runtime runtime_cuda, runtime_emulated;

}  // namespace kinema::kernels
