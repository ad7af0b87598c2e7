#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "tests/emulation_device_test.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::emulation_test {

constexpr int threads = 64;

/// Every thread reads one word, over and over, and the block waits before it is written again.
__global__ void many_readers_kernel(int* out) {
  KERNELS_SHARED(int, word, 1);
  const int t = int(threadIdx.x);
  int sum = 0;
  for (int round = 0; round < 4; ++round) {
    if (t == round) word[0] = round;
    __syncthreads();
    sum += word[0] + word[0] * 8;
    __syncthreads();
  }
  out[t] = sum;
}

/// Threads of different warps write the bytes of one word, then read them all.
__global__ void bytes_of_a_word_kernel(int* out) {
  KERNELS_SHARED(unsigned char, bytes, threads);
  const int t = int(threadIdx.x), mine = t % 2 * 32 + t / 2;
  bytes[mine] = static_cast<unsigned char>(mine);
  __syncthreads();
  out[t] = bytes[threads - 1 - t];
}

/// The second warp fills, the first one takes, by turns.
__global__ void named_barrier_kernel(int* out) {
  KERNELS_SHARED(int, slot, 32);
  const int lane = int(threadIdx.x % 32);
  int sum = 0;
  if (threadIdx.x < 32) {
    for (int round = 0; round < 3; ++round) {
      barrier_sync(1, threads);
      sum += slot[31 - lane];
      barrier_arrive(2, threads);
    }
  } else {
    for (int round = 0; round < 3; ++round) {
      if (round) barrier_sync(2, threads);
      slot[lane] = round * 100 + lane;
      barrier_arrive(1, threads);
    }
    barrier_sync(2, threads);
  }
  out[threadIdx.x] = sum;
}

__global__ void shared_atomics_kernel(int* out) {
  KERNELS_SHARED(int, count, 1);
  if (threadIdx.x == 0) count[0] = 0;
  __syncthreads();
  atomicAdd(&count[0], int(threadIdx.x));
  __syncthreads();
  out[threadIdx.x] = count[0];
}

__global__ void read_too_early_kernel(int* out) {
  KERNELS_SHARED(int, a, threads);
  const int t = int(threadIdx.x);
  a[t] = t;                        // THERE read_too_early
  out[t] = a[(t + 32) % threads];  // HERE read_too_early
}

__global__ void overwritten_too_early_kernel(int* out) {
  KERNELS_SHARED(int, a, threads);
  const int t = int(threadIdx.x);
  a[t] = t;
  __syncthreads();
  const int other = a[(t + 32) % threads];  // THERE overwritten_too_early
  a[t] = other + 1;                         // HERE overwritten_too_early
  __syncthreads();
  out[t] = a[t];
}

__global__ void written_twice_kernel(int* out) {
  KERNELS_SHARED(int, a, 1);
  if (threadIdx.x % 32 == 5) a[0] = 1;  // HERE written_twice THERE written_twice
  __syncthreads();
  out[threadIdx.x] = a[0];
}

/// The writer has waited for 32 of its 33 readers.
__global__ void one_reader_of_many_kernel(int* out) {
  KERNELS_SHARED(int, a, 1);
  const int t = int(threadIdx.x);
  if (t == 0) a[0] = 7;
  __syncthreads();
  int got = 0;
  if (t == 40) got = a[0];  // THERE one_reader_of_many
  if (t < 32) {
    got = a[0];
    __syncwarp();
    if (t == 3) a[0] = 8;  // HERE one_reader_of_many
  }
  out[t] = got;
}

__global__ void shuffle_is_no_barrier_kernel(int* out) {
  KERNELS_SHARED(int, a, threads);
  const int t = int(threadIdx.x);
  a[t] = t;  // THERE shuffle_is_no_barrier
  const int other = __shfl_xor_sync(all_lanes, t, 1);
  out[t] = a[other];  // HERE shuffle_is_no_barrier
}

/// Who only arrives at a barrier has not waited for the others.
__global__ void arrival_is_no_wait_kernel(int* out) {
  KERNELS_SHARED(int, a, threads);
  const int t = int(threadIdx.x);
  a[t] = t;  // THERE arrival_is_no_wait
  if (t < 32)
    barrier_sync(3, threads);
  else
    barrier_arrive(3, threads);
  out[t] = a[(t + 32) % threads];  // HERE arrival_is_no_wait
}

__global__ void atomic_beside_read_kernel(int* out) {
  KERNELS_SHARED(int, count, 1);
  if (threadIdx.x == 0) count[0] = 0;
  __syncthreads();
  if (threadIdx.x < 32)
    atomicAdd(&count[0], 1);  // THERE atomic_beside_read
  else
    out[threadIdx.x] = count[0];  // HERE atomic_beside_read
}

template <auto kernel, unsigned block = threads, unsigned grid = 1>
void run(Stream stream, int* memory) {
  launch("emulation_test", kernel, {.grid = grid, .block = block}, stream, memory);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::emulation_test

namespace kinema::test {

using namespace kernels::device::emulation_test;

const EmulationKernels KERNELS_DEVICE(emulation_kernels) = {
    .many_readers = run<many_readers_kernel>,
    .bytes_of_a_word = run<bytes_of_a_word_kernel>,
    .named_barrier = run<named_barrier_kernel>,
    .shared_atomics = run<shared_atomics_kernel>,
    .read_too_early = run<read_too_early_kernel>,
    .overwritten_too_early = run<overwritten_too_early_kernel>,
    .written_twice = run<written_twice_kernel>,
    .one_reader_of_many = run<one_reader_of_many_kernel>,
    .shuffle_is_no_barrier = run<shuffle_is_no_barrier_kernel>,
    .arrival_is_no_wait = run<arrival_is_no_wait_kernel>,
    .atomic_beside_read = run<atomic_beside_read_kernel>,
};

}  // namespace kinema::test
