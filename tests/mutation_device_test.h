#pragma once
#include <cstdint>
#include "kernels/base/backend.h"

namespace kinema::test {

/// Faults planted in small programs, one at a time; each says where it is.
enum class Fault : int {
  none,
  // block_sum: the sum of a block, three times
  no_barrier_before_read,
  no_barrier_before_reuse,
  barrier_in_divergent_branch,
  // warp_exchange: lanes pass numbers through shared memory
  no_syncwarp,
  // histogram: threads count into shared memory
  no_atomic,
  // hand_over: one warp fills a slot that another one reads, by named barriers
  too_few_at_named_barrier,
  no_named_barrier_before_refill,
  // grid_sum: the block that comes last adds up what all have left
  no_barrier_before_arrival,
  no_fence_before_arrival,
  // stencil: a filter along rows, padded
  padding_off_by_one,
  unguarded_load,
  unguarded_store,
  shared_index_off_by_one,
};

/// Runs one program on one block or more, with a fault or without.
using Program = void (*)(kernels::Stream, Fault, const void* in, void* out);

// Sizes that programs and their tests agree on.
inline constexpr int sum_threads = 256, sum_rounds = 3;
inline constexpr int exchange_threads = 64;
inline constexpr int histogram_threads = 128, histogram_bins = 8;
inline constexpr int hand_over_steps = 6;
inline constexpr int grid_sum_blocks = 6, grid_sum_threads = 64;
inline constexpr int stencil_rows = 3, stencil_width = 50;

KERNELS_OPTIONAL extern const Program block_sum_cuda, block_sum_emulated;
KERNELS_OPTIONAL extern const Program warp_exchange_cuda, warp_exchange_emulated;
KERNELS_OPTIONAL extern const Program histogram_cuda, histogram_emulated;
KERNELS_OPTIONAL extern const Program hand_over_cuda, hand_over_emulated;
KERNELS_OPTIONAL extern const Program grid_sum_cuda, grid_sum_emulated;
KERNELS_OPTIONAL extern const Program stencil_cuda, stencil_emulated;

}  // namespace kinema::test
