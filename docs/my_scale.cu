// A kernel of one's own, to be held against the reference and the others:
//   kinema compare --kernel docs/my_scale.cu
// It includes the vocabulary and a contract and defines the contract's constant. Passes that it
// leaves out are not compared. The same file runs on a GPU and, without one, in emulation.
#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/pointwise/pointwise.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::my_scale {

/// y = factor * x, one element a step: a whole row of y with its zero lanes, row by row.
template <class T>
__global__ void scale_kernel(float factor, const T* x, RowIndex rows_of_x, T* y, RowIndex rows_of_y,
                             FastDivisor lanes, int64_t channels) {
  const int64_t count = rows_of_x.rows() * lanes.divisor();
  for (int64_t i = first_index(); i < count; i += index_step()) {
    const int64_t row = lanes.quotient(i), c = i - row * lanes.divisor();
    const float value = c < channels ? factor * float(x[rows_of_x(row) + c]) : 0;
    y[rows_of_y(row) + c] = T(value);
  }
}

void scale(Stream stream, double factor, View x, View y) {
  check_pointwise("scale", x, y);
  const int64_t channels = x.shape[-1];
  if (!x.size()) return;
  dispatch_activation("scale", x.dtype, [&]<class T>(T) {
    constexpr int threads = 256;
    launch("pointwise.scale", scale_kernel<T>,
           {.grid = blocks_for(x.size(), threads), .block = threads}, stream, float(factor),
           data<T>(x), RowIndex(x), data<T>(y), RowIndex(y), FastDivisor(channels + y.tail),
           channels);
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::my_scale

namespace kinema::kernels {

const Pointwise KERNELS_DEVICE(pointwise) = {.scale = device::my_scale::scale};

}  // namespace kinema::kernels
