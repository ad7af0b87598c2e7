#include "kernels/device/device.h"
#include "kernels/device/grid.h"
#include "kernels/device/launch.h"
#include "tests/emulation_device_test.h"

#if !KERNELS_CUDA  // nothing here is for a GPU

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

/// Who only arrives at a barrier has not waited for the others, even if all have come before.
__global__ void arrival_is_no_wait_kernel(int* out) {
  KERNELS_SHARED(int, a, threads);
  const int t = int(threadIdx.x);
  a[t] = t;  // THERE arrival_is_no_wait
  if (t < 32)
    barrier_sync(3, threads);
  else
    barrier_arrive(3, threads);
  if (t == 63) out[t] = a[0];  // HERE arrival_is_no_wait
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

/// memory[256] counts; 4 blocks.
__global__ void order_kernel(int* out) {
  const int mine = int(first_index());
  out[mine] = atomicAdd(out + 256, 1);
}

__global__ void copy_kernel(int* memory) {
  for (int64_t i = first_index(); i < 64; i += index_step())
    store_pack<4>(memory + 4 * i, load_pack<4>(memory + 256 + 4 * i));
}

/// Each block leaves its sum; the last one adds them up.
__global__ void last_block_kernel(int* out) {
  auto* counter = reinterpret_cast<unsigned*>(out) + 256;
  const int sum = block_sum<threads>(int(first_index()));
  if (threadIdx.x == 1) out[blockIdx.x] = sum;
  if (!is_last_block(counter, gridDim.x)) return;
  int all = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) all += out[b];
  __syncthreads();
  out[threadIdx.x] = all;
}

/// Blocks write the bytes of one word, and read a word that none writes.
__global__ void neighbours_of_a_word_kernel(int* out) {
  if (threadIdx.x) return;
  reinterpret_cast<unsigned char*>(out)[blockIdx.x] = static_cast<unsigned char>(out[256]);
}

__global__ void blocks_write_twice_kernel(int* out) {
  out[threadIdx.x] = 1;  // HERE blocks_write_twice THERE blocks_write_twice
}
__global__ void read_of_another_kernel(int* out) {
  const int mine = int(first_index());
  out[mine] = mine;                                          // THERE read_of_another
  if (mine >= 128) out[mine] = out[(mine + threads) % 256];  // HERE read_of_another
}
/// Every block reads what the last one changes.
__global__ void in_place_kernel(int* out) {
  const int old = out[threadIdx.x];  // THERE in_place
  if (blockIdx.x == 3)
    out[threadIdx.x] = old + 1;  // HERE in_place
  else
    out[first_index() + threads] = old;
}
/// is_last_block() with its fence in front of the store.
__global__ void last_block_unfenced_kernel(int* out) {
  KERNELS_SHARED(int, arrived, 1);
  if (threadIdx.x == 0) {
    out[32 + blockIdx.x] = 1;
    __threadfence();
    out[blockIdx.x] = 1;  // THERE last_block_unfenced
    arrived[0] = atomicAdd(out + 256, 1);
  }
  __syncthreads();
  if (arrived[0] == 3 && threadIdx.x < 4) out[8] = out[threadIdx.x];  // HERE last_block_unfenced
}

__global__ void missing_thread_kernel(int* out) {
  if (threadIdx.x == 3) return;
  barrier_sync(1, threads);  // HERE missing_thread
  out[threadIdx.x] = 1;
}

/// The halves of the block wait in two different places.
__global__ void two_barriers_kernel(int* out) {
  if (threadIdx.x < 32) {
    out[threadIdx.x] = 1;
    __syncthreads();  // HERE two_barriers
  } else {
    __syncthreads();  // THERE two_barriers
    out[threadIdx.x] = 2;
  }
}

__global__ void unequal_counts_kernel(int*) {
  barrier_sync(1, threadIdx.x < 32 ? 64 : 32);  // HERE unequal_counts
}
__global__ void arrived_twice_kernel(int*) {
  if (threadIdx.x < 32) {
    barrier_arrive(1, threads);
    barrier_arrive(1, threads);  // HERE arrived_twice
  }
}
__global__ void odd_count_kernel(int*) {
  barrier_sync(1, 33);  // HERE odd_count
}
__global__ void no_such_barrier_kernel(int*) {
  barrier_sync(16, 64);  // HERE no_such_barrier
}

__global__ void different_operations_kernel(int* out) {
  const int t = int(threadIdx.x);
  if (t % 32 < 16)
    out[t] = __shfl_xor_sync(all_lanes, t, 1);  // THERE different_operations
  else
    out[t] = int(__ballot_sync(all_lanes, t % 3 == 0));  // HERE different_operations
}
__global__ void not_in_the_mask_kernel(int* out) {
  out[threadIdx.x] = __shfl_sync(0xffffu, int(threadIdx.x), 0);  // HERE not_in_the_mask
}

/// Waits for a word that nobody changes.
__global__ void endless_wait_kernel(int* out) {
  while (awaited(reinterpret_cast<unsigned*>(out))) {  // HERE endless_wait
  }
}
__global__ void grid_sync_alone_kernel(int* out) {
  grid_sync(reinterpret_cast<unsigned*>(out));  // HERE grid_sync_alone
}

__global__ void throws_kernel(int* out) { out[0] = int(FastDivisor(out[1] + 1).divisor()); }

__global__ void too_much_shared_kernel(int* out) {
  KERNELS_SHARED(int, a, 12 * 1024);  // HERE too_much_shared
  a[threadIdx.x] = 0;
  __syncthreads();
  out[threadIdx.x] = a[threadIdx.x];
}
__global__ void no_shared_pointer_kernel(int* out) {
  out[threadIdx.x] = int(shared_address(out));  // HERE no_shared_pointer
}

/// The other variable is far away: nothing but red zones sees the first one's end.
__global__ void behind_shared_kernel(int* out) {
  KERNELS_SHARED(int, a, 63);
  KERNELS_SHARED(int, b, threads);
  int* first = a;
  first[threadIdx.x] = 0;  // HERE behind_shared
  b[threadIdx.x] = 0;
  __syncthreads();
  out[threadIdx.x] = a[0] + b[0];
}
__global__ void behind_dynamic_kernel(int* out) {
  int* a = dynamic_shared<int>();
  a[threadIdx.x] = 0;  // HERE behind_dynamic
  __syncthreads();
  out[threadIdx.x] = a[0];
}
__global__ void behind_global_kernel(int* out) {
  out[threadIdx.x + 1] = 0;  // HERE behind_global
}
/// 8 bytes, of which the first 4 are the last ones of 15 ints.
__global__ void across_global_kernel(int* out) {
  auto* wide = reinterpret_cast<int64_t*>(out);
  if (threadIdx.x == 0) wide[7] = 0;  // HERE across_global
}
__global__ void before_global_kernel(int* out) {
  out[int(threadIdx.x) - 1] = 0;  // HERE before_global
}
__global__ void misaligned_kernel(int* memory) {
  store_pack<4>(memory + 1, load_pack<4>(memory + 4));  // HERE misaligned
}

__global__ void nothing_kernel() {}

template <auto kernel, unsigned grid = 1, int64_t shared_bytes = 0, bool cooperative = false>
void run(Stream stream, int* memory) {
  launch("emulation_test", kernel,
         {.grid = grid, .block = threads, .shared_bytes = shared_bytes, .cooperative = cooperative},
         stream, memory);
}

std::pair<int64_t, int64_t> index_of(unsigned block, unsigned blocks, unsigned thread,
                                     unsigned size) {
  const emulation::BlockPlace place{{block, 0, 0}, {size}, {blocks}};
  emulation::Place here{{thread, 0, 0}, thread % 32, &place};
  emulation::here = &here;
  const std::pair<int64_t, int64_t> found{first_index(), index_step()};
  emulation::here = nullptr;
  return found;
}

void shaped(Stream stream, const test::EmulationShape& s) {
  launch("emulation_test", nothing_kernel,
         {.grid = {s.grid[0], s.grid[1], s.grid[2]},
          .block = {s.block[0], s.block[1], s.block[2]},
          .shared_bytes = s.shared_bytes,
          .cluster = {s.cluster[0], s.cluster[1], s.cluster[2]},
          .cooperative = s.cooperative},
         stream);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::emulation_test

namespace kinema::test {

using namespace kernels::device::emulation_test;

const EmulationKernels emulation_kernels = {
    .many_readers = run<many_readers_kernel>,
    .bytes_of_a_word = run<bytes_of_a_word_kernel>,
    .named_barrier = run<named_barrier_kernel>,
    .shared_atomics = run<shared_atomics_kernel>,
    .order = run<order_kernel, 4>,
    .copy = run<copy_kernel>,
    .read_too_early = run<read_too_early_kernel>,
    .overwritten_too_early = run<overwritten_too_early_kernel>,
    .written_twice = run<written_twice_kernel>,
    .one_reader_of_many = run<one_reader_of_many_kernel>,
    .shuffle_is_no_barrier = run<shuffle_is_no_barrier_kernel>,
    .arrival_is_no_wait = run<arrival_is_no_wait_kernel>,
    .atomic_beside_read = run<atomic_beside_read_kernel>,
    .last_block = run<last_block_kernel, 4>,
    .neighbours_of_a_word = run<neighbours_of_a_word_kernel, 4>,
    .blocks_write_twice = run<blocks_write_twice_kernel, 4>,
    .read_of_another = run<read_of_another_kernel, 4>,
    .in_place = run<in_place_kernel, 4>,
    .last_block_unfenced = run<last_block_unfenced_kernel, 4>,
    .missing_thread = run<missing_thread_kernel>,
    .two_barriers = run<two_barriers_kernel>,
    .unequal_counts = run<unequal_counts_kernel>,
    .arrived_twice = run<arrived_twice_kernel>,
    .odd_count = run<odd_count_kernel>,
    .no_such_barrier = run<no_such_barrier_kernel>,
    .different_operations = run<different_operations_kernel>,
    .not_in_the_mask = run<not_in_the_mask_kernel>,
    .endless_wait = run<endless_wait_kernel>,
    .grid_sync_alone = run<grid_sync_alone_kernel>,
    .throws = run<throws_kernel>,
    .too_much_shared = run<too_much_shared_kernel, 1, 200 << 10>,
    .no_shared_pointer = run<no_shared_pointer_kernel>,
    .behind_shared = run<behind_shared_kernel>,
    .behind_dynamic = run<behind_dynamic_kernel, 1, 252>,
    .behind_global = run<behind_global_kernel>,
    .across_global = run<across_global_kernel>,
    .before_global = run<before_global_kernel>,
    .misaligned = run<misaligned_kernel>,
    .index_of = index_of,
    .shaped = shaped,
};

}  // namespace kinema::test

#endif
