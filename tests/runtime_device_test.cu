#include "kernels/device/device.h"
#include "kernels/device/grid.h"
#include "kernels/device/launch.h"
#include "tests/runtime_device_test.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::runtime_test {

__global__ void add_kernel(float* x, float value, int64_t count) {
  for (int64_t i = first_index(); i < count; i += index_step()) x[i] += value;
}

__global__ void add_from_kernel(float* x, const float* value, int64_t count) {
  for (int64_t i = first_index(); i < count; i += index_step()) x[i] += *value;
}

__global__ void fill_slowly_kernel(float* x, float value, int64_t count, int64_t rounds) {
  for (int64_t i = first_index(); i < count; i += index_step()) {
    float factor = value;  // grows no more than the compiler may know: it stays value
    for (int64_t r = 0; r < rounds; ++r) factor = factor * factor / value;
    x[i] = factor;
  }
}

Geometry geometry(int64_t count) { return {.grid = blocks_for(count, 64), .block = 64}; }

void add(Stream stream, float* x, float value, int64_t count) {
  launch("runtime_test.add", add_kernel, geometry(count), stream, x, value, count);
}

void add_from(Stream stream, float* x, const float* value, int64_t count) {
  launch("runtime_test.add_from", add_from_kernel, geometry(count), stream, x, value, count);
}

void fill_slowly(Stream stream, float* x, float value, int64_t count, int64_t rounds) {
  launch("runtime_test.fill_slowly", fill_slowly_kernel, geometry(count), stream, x, value, count,
         rounds);
}

void use_workspace(Stream stream, float* x, int64_t bytes) {
  const Workspace memory(stream, bytes);
  clear(stream, memory.data(), bytes);
  add_from(stream, x, memory.data<float>(), 1);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::runtime_test

namespace kinema::test {

namespace runtime_test = kernels::device::runtime_test;
const RuntimeKernels KERNELS_DEVICE(runtime_kernels) = {
    .add = runtime_test::add,
    .add_from = runtime_test::add_from,
    .fill_slowly = runtime_test::fill_slowly,
    .use_workspace = runtime_test::use_workspace};

}  // namespace kinema::test
