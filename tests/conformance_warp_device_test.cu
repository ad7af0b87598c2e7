#include "kernels/device/device.h"
#include "kernels/device/grid.h"
#include "tests/conformance_warp_device_test.h"
#include "tests/support/probe.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_warp {

using test::ShuffleCase, test::shuffle_cases;

template <class T>
__global__ void shuffle_kernel(const ShuffleCase* cases, T* out) {
  const T mine = T(threadIdx.x) + T(0.5);
  for (int i = 0; i < shuffle_cases; ++i) {
    const ShuffleCase c = cases[i];
    T got = mine;
    if (c.mode == ShuffleCase::index)
      got = __shfl_sync(all_lanes, mine, c.operand, c.width);
    else if (c.mode == ShuffleCase::up)
      got = __shfl_up_sync(all_lanes, mine, unsigned(c.operand), c.width);
    else if (c.mode == ShuffleCase::down)
      got = __shfl_down_sync(all_lanes, mine, unsigned(c.operand), c.width);
    else
      got = __shfl_xor_sync(all_lanes, mine, c.operand, c.width);
    out[32 * i + int(threadIdx.x)] = got;
  }
}

/// Each half of the warp runs operations of its own, with masks that name it alone.
__global__ void halves_kernel(const int*, int* out) {
  const int lane = int(threadIdx.x);
  int butterfly, down, index;
  uint32_t ballot;
  if (lane < 16) {
    butterfly = __shfl_xor_sync(0x0000ffffu, lane, 5, 16);
    down = __shfl_down_sync(0x0000ffffu, lane, 3, 16);
    ballot = __ballot_sync(0x0000ffffu, lane % 3 == 0);
    __syncwarp(0x0000ffffu);
    index = __shfl_sync(0x0000ffffu, lane, 7, 16);
  } else {
    index = __shfl_sync(0xffff0000u, lane, 7, 16);
    ballot = __ballot_sync(0xffff0000u, lane % 3 == 0);
    down = __shfl_down_sync(0xffff0000u, lane, 3, 16);
    __syncwarp(0xffff0000u);
    butterfly = __shfl_xor_sync(0xffff0000u, lane, 5, 16);
  }
  out[lane] = butterfly;
  out[32 + lane] = down;
  out[64 + lane] = int(ballot);
  out[96 + lane] = index;
}

__global__ void votes_kernel(const uint32_t* masks, uint32_t* out) {
  const unsigned lane = threadIdx.x;
  for (unsigned i = 0; i < 8; ++i) {
    const bool vote = masks[i] >> lane & 1;
    out[96 * i + lane] = __ballot_sync(all_lanes, vote);
    out[96 * i + 32 + lane] = uint32_t(__any_sync(all_lanes, vote));
    out[96 * i + 64 + lane] = uint32_t(__all_sync(all_lanes, vote));
  }
}

__global__ void short_warp_kernel(const int*, uint32_t* out) {
  out[threadIdx.x] = __ballot_sync(all_lanes, threadIdx.x % 2 == 1);
}

/// Reversed within each warp behind __syncwarp, then across the block behind __syncthreads.
__global__ void exchange_kernel(const float* in, float* out) {
  KERNELS_SHARED(float, row, 64);
  const unsigned t = threadIdx.x, warp = t & ~31u;
  row[t] = in[t];
  __syncwarp();
  const float reversed = row[warp + 31 - t % 32];
  __syncthreads();
  row[t] = reversed;
  __syncthreads();
  out[t] = row[63 - t];
}

/// Warp 0 fills one of two slots and only arrives at "full"; warps 1 and 2 wait there, read, and
/// only arrive at "empty". Barriers 1, 2 are full, 3, 4 empty; 96 threads each.
__global__ void handshake_kernel(const int*, float* out) {
  KERNELS_SHARED(float, slots, 2);
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  for (int step = 0; step < 8; ++step) {
    const int slot = step % 2;
    if (warp == 0) {
      if (step >= 2) barrier_sync(3 + slot, 96);
      if (lane == 0) slots[slot] = float(step * step);
      barrier_arrive(1 + slot, 96);
    } else {
      barrier_sync(1 + slot, 96);
      if (lane == 31) out[2 * step + warp - 1] = slots[slot];
      if (step < 6) barrier_arrive(3 + slot, 96);
    }
  }
}

__global__ void places_kernel(const int*, int* out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  int* mine = out + (block * 60 + thread) * 10;
  const unsigned values[] = {threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y,
                             blockIdx.z,  blockDim.x,  blockDim.y,  gridDim.x};
#pragma unroll
  for (int i = 0; i < 9; ++i) mine[i] = int(values[i]);
  // Lanes are numbered by thread: x fastest, then y, then z.
  mine[9] = int(__shfl_sync(all_lanes, thread, 0));
}

__global__ void reductions_kernel(const float* in, float* out) {
  const float mine = in[threadIdx.x];
  out[threadIdx.x] = warp_sum(mine);
  out[256 + threadIdx.x] = block_sum<256>(mine);
}

__global__ void shared_kernel(const int*, uint32_t* out) {
  KERNELS_SHARED(uint32_t, words, 4);
  KERNELS_SHARED(double, doubles, 2);
  uint32_t* dynamic = dynamic_shared<uint32_t>();
  const unsigned t = threadIdx.x;
  if (t < 4) words[t] = 100 + t;
  if (t < 2) doubles[t] = 200 + t;
  dynamic[t] = 300 + t;
  __syncthreads();
  if (t) return;
  out[0] = words[3];
  out[1] = uint32_t(doubles[1]);
  out[2] = dynamic[31];
  out[3] = shared_address(words + 3) - shared_address(words);
  out[4] = shared_address(dynamic + 31) - shared_address(dynamic);
  out[5] = shared_address(dynamic) % 16;
  out[6] = shared_address(doubles) % 8;
}

/// cells: a sum, an exchanged number, a maximum below zero, a lock that one thread takes.
__global__ void atomics_kernel(const int*, int* out) {
  KERNELS_SHARED(int, cells, 4);
  const int t = int(threadIdx.x);
  if (t == 0) {
    cells[0] = 0;
    cells[1] = -1;
    cells[2] = -5000;
    cells[3] = 7;
  }
  __syncthreads();
  out[t] = atomicAdd(&cells[0], 1);
  out[1024 + t] = atomicExch(&cells[1], t);
  out[2048 + t] = atomicMax(&cells[2], -3000 + t);
  out[3072 + t] = atomicCAS(&cells[3], 7, 1000 + t);
  __syncthreads();
  if (t < 4) out[4096 + t] = cells[t];
}

__global__ void wide_atomics_kernel(unsigned long long* out) {
  out[1 + first_index()] = atomicAdd(out, (1ull << 40) + 1);
}

/// Each block leaves a number; the one that comes last adds up all.
__global__ void last_block_kernel(unsigned* counter, int* numbers, int* flags, int* sums) {
  if (threadIdx.x == 63) numbers[blockIdx.x] = int(blockIdx.x) + 1;
  const bool last = is_last_block(counter, gridDim.x);
  if (threadIdx.x) return;
  flags[blockIdx.x] = last;
  int sum = 0;
  for (unsigned b = 0; last && b < gridDim.x; ++b) sum += numbers[b];
  sums[blockIdx.x] = sum;
}

/// Each block writes what the next one then reads, and the other way round.
__global__ void grid_barrier_kernel(int* numbers, unsigned* counter) {
  const int mine = int(first_index()), all = int(index_step()), next = (mine + 64) % all;
  numbers[mine] = mine;
  grid_sync(counter);
  const int got = numbers[next];
  grid_sync(counter);
  numbers[mine] = got * 2;
  grid_sync(counter);
  const int sum = got + numbers[next];
  grid_sync(counter);
  numbers[mine] = sum;
}

void wide_atomics(Stream stream, const void*, void* out) {
  clear(stream, out, 8);
  launch("conformance.wide_atomics", wide_atomics_kernel, {.grid = 8, .block = 64}, stream,
         static_cast<unsigned long long*>(out));
}

void last_block(Stream stream, const void*, void* out) {
  const Workspace numbers(stream, 12 * sizeof(int));
  int* flags = static_cast<int*>(out);
  auto* counter = reinterpret_cast<unsigned*>(flags + 48);
  clear(stream, counter, sizeof(unsigned));
  for (int round = 0; round < 2; ++round)
    launch("conformance.last_block", last_block_kernel, {.grid = 12, .block = 64}, stream, counter,
           numbers.data<int>(), flags + 12 * round, flags + 24 + 12 * round);
}

void grid_barrier(Stream stream, const void*, void* out) {
  auto* numbers = static_cast<int*>(out);
  auto* counter = reinterpret_cast<unsigned*>(numbers + 256);
  clear(stream, counter, sizeof(unsigned));
  launch("conformance.grid_barrier", grid_barrier_kernel,
         {.grid = 4, .block = 64, .cooperative = true}, stream, numbers, counter);
}

void places(Stream stream, const void*, void* out) {
  probes::start_probe(places_kernel, {.grid = {3, 2, 2}, .block = {5, 4, 3}}, stream, nullptr, out);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_warp

namespace kinema::test {

using namespace kernels::device::conformance_warp;
using kernels::device::probes::probe;

const WarpConformance KERNELS_DEVICE(warp_conformance) = {
    .shuffle_int = probe<shuffle_kernel<int>, 32>,
    .shuffle_float = probe<shuffle_kernel<float>, 32>,
    .shuffle_double = probe<shuffle_kernel<double>, 32>,
    .halves = probe<halves_kernel, 32>,
    .votes = probe<votes_kernel, 32>,
    .short_warp = probe<short_warp_kernel, 40>,
    .exchange = probe<exchange_kernel, 64>,
    .handshake = probe<handshake_kernel, 96>,
    .places = places,
    .reductions = probe<reductions_kernel, 256>,
    .shared = probe<shared_kernel, 32, 1, 128>,
    .atomics = probe<atomics_kernel, 1024>,
    .wide_atomics = wide_atomics,
    .last_block = last_block,
    .grid_barrier = grid_barrier};

}  // namespace kinema::test
