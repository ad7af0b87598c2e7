#pragma once
#include "kernels/base/backend.h"

namespace kinema::test {

/// Kernels on f32 vectors of the device that show in which order streams run.
struct RuntimeKernels {
  /// x[i] += value.
  void (*add)(kernels::Stream, float* x, float value, int64_t count);
  /// x[i] += *value, which lies on the device.
  void (*add_from)(kernels::Stream, float* x, const float* value, int64_t count);
  /// x[i] = value after `rounds` multiplications, a million of which take a GPU milliseconds.
  void (*fill_slowly)(kernels::Stream, float* x, float value, int64_t count, int64_t rounds);
  /// x[0] = a sum that takes a workspace of so many bytes.
  void (*use_workspace)(kernels::Stream, float* x, int64_t bytes);
};
KERNELS_OPTIONAL extern const RuntimeKernels runtime_kernels_cuda, runtime_kernels_emulated;

}  // namespace kinema::test
