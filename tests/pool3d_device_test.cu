#include "kernels/pool3d/pool3d.cuh"
#include "tests/pool3d_device_test.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d_test {

__global__ void find_kernel(pool3d::Places places, const int64_t* i, int64_t count, int* found) {
  for (int64_t k = first_index(); k < count; k += index_step()) {
    const pool3d::Place p = places(i[k]);
    const int axes[5] = {p.n, p.t, p.h, p.w, p.c};
    for (int a = 0; a < 5; ++a) found[5 * k + a] = axes[a];
  }
}

void find(Stream stream, const Shape& shape, int lanes, const int64_t* i, int64_t count,
          int* found) {
  launch("pool3d_test.find", find_kernel, {.grid = blocks_for(count, 256), .block = 256}, stream,
         pool3d::Places(shape, lanes), i, count, found);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::pool3d_test

namespace kinema::test {

const Pool3dPlaces KERNELS_DEVICE(pool3d_places) = {.find = kernels::device::pool3d_test::find};

}  // namespace kinema::test
