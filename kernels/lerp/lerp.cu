#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/lerp/lerp.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::lerp {

constexpr int threads = 256;

/// y += t * (x - y), a pack of N elements a step. The last pack of a row reaches into its zero
/// lanes, which stay zero as those of x are; packs of one element never reach.
template <class T, int N>
__global__ void __launch_bounds__(threads)
    towards_kernel(float t, const T* x, RowIndex x_rows, T* y, RowIndex y_rows, FastDivisor packs) {
  const int64_t count = y_rows.rows() * packs.divisor();
  for (int64_t i = first_index(); i < count; i += index_step()) {
    const int64_t row = packs.quotient(i), first = (i - row * packs.divisor()) * N;
    const T* from = x + x_rows(row) + first;
    T* to = y + y_rows(row) + first;
    float a[N], b[N];
    load_floats<N>(from, a);
    load_floats<N>(to, b);
#pragma unroll
    for (int k = 0; k < N; ++k) b[k] += t * (a[k] - b[k]);
    store_floats<N>(to, b);
  }
}

void towards(Stream stream, double t, View x, View y) {
  check_lerp(t, x, y);
  if (!y.size()) return;
  dispatch_activation("lerp", y.dtype, [&]<class T>(T) {
    constexpr int lanes = pack_lanes<T>;
    const auto run = [&](auto kernel, int n) {
      const FastDivisor packs((y.shape[-1] + n - 1) / n);
      const RowIndex rows(y);
      launch("lerp.towards", kernel,
             {.grid = blocks_for(rows.rows() * packs.divisor(), threads), .block = threads}, stream,
             float(t), data<T>(x), RowIndex(x), data<T>(y), rows, packs);
    };
    const bool whole = y.shape[-1] % lanes == 0 || (x.tail && y.tail);
    if (whole && aligned(x) && aligned(y))
      run(towards_kernel<T, lanes>, lanes);
    else
      run(towards_kernel<T, 1>, 1);
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::lerp

namespace kinema::kernels {

const Lerp KERNELS_DEVICE(lerp) = {.towards = device::lerp::towards};

}  // namespace kinema::kernels
