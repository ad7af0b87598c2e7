#include "kernels/device/device.h"
#include "kernels/device/grid.h"
#include "tests/support/mutants.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::mutants {

template <Fault F>
__global__ void block_sum_kernel(const float* in, float* out) {
  KERNELS_SHARED(float, parts, test::sum_threads / 32);
  for (int round = 0; round < test::sum_rounds; ++round) {
    const int i = round * test::sum_threads + int(threadIdx.x);
    const float sum = warp_sum(in[i]);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    if constexpr (F != Fault::no_barrier_before_read) __syncthreads();
    float all = 0;
    for (int w = 0; w < test::sum_threads / 32; ++w) all += parts[w];
    out[i] = all;
    if constexpr (F == Fault::barrier_in_divergent_branch) {
      if (threadIdx.x < 128) __syncthreads();
    } else if constexpr (F != Fault::no_barrier_before_reuse) {
      __syncthreads();
    }
  }
}

/// Each warp turns its numbers round.
template <Fault F>
__global__ void warp_exchange_kernel(const float* in, float* out) {
  KERNELS_SHARED(float, row, test::exchange_threads);
  const unsigned t = threadIdx.x, turned = (t & ~31u) + 31 - t % 32;
  row[t] = in[t];
  if constexpr (F != Fault::no_syncwarp) __syncwarp();
  out[t] = row[turned];
}

template <Fault F>
__global__ void histogram_kernel(const int* in, float* out) {
  KERNELS_SHARED(int, bins, test::histogram_bins);
  const int t = int(threadIdx.x);
  if (t < test::histogram_bins) bins[t] = 0;
  __syncthreads();
  if constexpr (F == Fault::no_atomic)
    ++bins[in[t]];
  else
    atomicAdd(&bins[in[t]], 1);
  __syncthreads();
  if (t < test::histogram_bins) out[t] = float(bins[t]);
}

/// Warp 0 fills the slot, warp 1 reads it: barrier 1 is "full", barrier 2 "empty".
template <Fault F>
__global__ void hand_over_kernel(const float* in, float* out) {
  KERNELS_SHARED(float, slot, 32);
  const int lane = int(threadIdx.x) % 32;
  constexpr int full_threads = F == Fault::too_few_at_named_barrier ? 96 : 64;
  for (int step = 0; step < test::hand_over_steps; ++step) {
    if (threadIdx.x < 32) {
      if constexpr (F != Fault::no_named_barrier_before_refill)
        if (step > 0) barrier_sync(2, 64);
      slot[lane] = in[32 * step + lane];
      barrier_arrive(1, full_threads);
    } else if (threadIdx.x < 64) {
      barrier_sync(1, full_threads);
      out[32 * step + lane] = slot[31 - lane];
      if constexpr (F != Fault::no_named_barrier_before_refill)
        if (step + 1 < test::hand_over_steps) barrier_arrive(2, 64);
    }
  }
}

/// is_last_block() by hand.
template <Fault F>
__global__ void grid_sum_kernel(const float* in, float* parts, unsigned* counter, float* out) {
  KERNELS_SHARED(unsigned, arrived, 1);
  const float sum = warp_sum(in[first_index()]);
  if (threadIdx.x == test::grid_sum_threads - 1) parts[blockIdx.x] = sum;
  if constexpr (F != Fault::no_fence_before_arrival) __threadfence();
  if constexpr (F != Fault::no_barrier_before_arrival) __syncthreads();
  if (threadIdx.x == 0) arrived[0] = atomicAdd(counter, 1u);
  __syncthreads();
  __threadfence();
  if (arrived[0] + 1 < gridDim.x || threadIdx.x) return;
  float all = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) all += parts[b];
  out[0] = all;
}

/// Turns the grid's numbers round, by way of global memory.
template <Fault F>
__global__ void two_passes_kernel(const float* in, float* between, unsigned* counter, float* out) {
  const int64_t i = first_index(), count = index_step();
  between[i] = in[i];
  if constexpr (F != Fault::no_grid_sync) grid_sync(counter);
  out[i] = between[count - 1 - i];
}

/// y[i] = x[i-1] + 2*x[i] + 3*x[i+1], rows padded with zeros: by way of shared memory, with one
/// element more on each side.
template <Fault F>
__global__ void stencil_kernel(const float* in, float* out) {
  constexpr int width = test::stencil_width, count = test::stencil_rows * width;
  KERNELS_SHARED(float, tile, 66);
  const int first = int(blockIdx.x) * (F == Fault::blocks_overlap ? 62 : 64);
  const int t = int(threadIdx.x), i = first + t;
  constexpr int filled = F == Fault::shared_index_off_by_one ? 67 : 66;
  for (int k = t; k < filled; k += 64) {
    const int from = first + k - 1;
    const bool inside = from >= 0 && (from < count || F == Fault::unguarded_load);
    tile[k] = inside ? in[from] : 0.0f;
  }
  __syncthreads();
  if (i >= count && F != Fault::unguarded_store) return;
  const int column = i % width;
  const int right = column + 1;
  const bool has_right = F == Fault::padding_off_by_one ? right <= width : right < width;
  const float after = has_right ? tile[t + 2] : 0.0f;
  out[i] = (column > 0 ? tile[t] : 0.0f) + 2 * tile[t + 1] + 3 * after;
}

void block_sum(Stream stream, Fault fault, const void* in, void* out) {
  with_fault<Fault::no_barrier_before_read, Fault::no_barrier_before_reuse,
             Fault::barrier_in_divergent_branch>(fault, [&]<Fault F>() {
    launch("mutants.block_sum", block_sum_kernel<F>, {.grid = 1, .block = test::sum_threads},
           stream, static_cast<const float*>(in), static_cast<float*>(out));
  });
}

void warp_exchange(Stream stream, Fault fault, const void* in, void* out) {
  with_fault<Fault::no_syncwarp>(fault, [&]<Fault F>() {
    launch("mutants.warp_exchange", warp_exchange_kernel<F>,
           {.grid = 1, .block = test::exchange_threads}, stream, static_cast<const float*>(in),
           static_cast<float*>(out));
  });
}

void histogram(Stream stream, Fault fault, const void* in, void* out) {
  with_fault<Fault::no_atomic>(fault, [&]<Fault F>() {
    launch("mutants.histogram", histogram_kernel<F>, {.grid = 1, .block = test::histogram_threads},
           stream, static_cast<const int*>(in), static_cast<float*>(out));
  });
}

void hand_over(Stream stream, Fault fault, const void* in, void* out) {
  with_fault<Fault::too_few_at_named_barrier, Fault::no_named_barrier_before_refill>(
      fault, [&]<Fault F>() {
        launch("mutants.hand_over", hand_over_kernel<F>, {.grid = 1, .block = 96}, stream,
               static_cast<const float*>(in), static_cast<float*>(out));
      });
}

void grid_sum(Stream stream, Fault fault, const void* in, void* out) {
  const Workspace parts(stream, test::grid_sum_blocks * sizeof(float));
  const Workspace counter(stream, sizeof(unsigned));
  clear(stream, counter.data(), sizeof(unsigned));
  with_fault<Fault::no_barrier_before_arrival, Fault::no_fence_before_arrival>(
      fault, [&]<Fault F>() {
        launch("mutants.grid_sum", grid_sum_kernel<F>,
               {.grid = test::grid_sum_blocks, .block = test::grid_sum_threads}, stream,
               static_cast<const float*>(in), parts.data<float>(), counter.data<unsigned>(),
               static_cast<float*>(out));
      });
}

void two_passes(Stream stream, Fault fault, const void* in, void* out) {
  const Workspace between(stream, test::two_passes_blocks * 32 * int64_t(sizeof(float)));
  const Workspace counter(stream, sizeof(unsigned));
  clear(stream, counter.data(), sizeof(unsigned));
  with_fault<Fault::no_grid_sync, Fault::not_cooperative>(fault, [&]<Fault F>() {
    launch(
        "mutants.two_passes", two_passes_kernel<F>,
        {.grid = test::two_passes_blocks, .block = 32, .cooperative = F != Fault::not_cooperative},
        stream, static_cast<const float*>(in), between.data<float>(), counter.data<unsigned>(),
        static_cast<float*>(out));
  });
}

void stencil(Stream stream, Fault fault, const void* in, void* out) {
  constexpr int blocks = (test::stencil_rows * test::stencil_width + 63) / 64;
  with_fault<Fault::padding_off_by_one, Fault::unguarded_load, Fault::unguarded_store,
             Fault::shared_index_off_by_one, Fault::blocks_overlap>(fault, [&]<Fault F>() {
    launch("mutants.stencil", stencil_kernel<F>, {.grid = blocks, .block = 64}, stream,
           static_cast<const float*>(in), static_cast<float*>(out));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::mutants

namespace kinema::test {

namespace device = kernels::device::mutants;

const Program KERNELS_DEVICE(block_sum) = device::block_sum;
const Program KERNELS_DEVICE(warp_exchange) = device::warp_exchange;
const Program KERNELS_DEVICE(histogram) = device::histogram;
const Program KERNELS_DEVICE(hand_over) = device::hand_over;
const Program KERNELS_DEVICE(grid_sum) = device::grid_sum;
const Program KERNELS_DEVICE(two_passes) = device::two_passes;
const Program KERNELS_DEVICE(stencil) = device::stencil;

}  // namespace kinema::test
