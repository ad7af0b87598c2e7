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
  // two_passes: a grid that meets between two passes
  no_grid_sync,
  not_cooperative,
  // stencil: a filter along rows, padded
  padding_off_by_one,
  unguarded_load,
  unguarded_store,
  shared_index_off_by_one,
  blocks_overlap,
  // product: tiles by cp.async, two stages; ldmatrix, mma
  one_group_too_many,
  no_commit,
  no_barrier_behind_wait,
  no_barrier_before_refill,
  last_group_left_running,
  ldmatrix_without_swizzle,
  no_swizzle_at_all,
  unguarded_copy,
  // pipeline: tiles by TMA, a ring of stages between a producer and two consumers; wgmma
  no_fence_behind_init,
  no_barrier_behind_init,
  wrong_byte_count,
  map_without_swizzle,
  producer_skips_empty,
  consumer_skips_full,
  parity_never_flips,
  stage_freed_early,
  stages_never_freed,
  no_wgmma_fence,
  sums_read_before_wait,
  // staged_product: wgmma on what threads have stored
  no_proxy_fence_before_wgmma,
  no_barrier_before_wgmma,
  // tile_store: tiles leave through one buffer by TMA
  no_proxy_fence_before_store,
  no_barrier_before_store,
  buffer_reused_before_read,
  store_left_running,
  // multicast: blocks of a cluster load halves for both
  no_cluster_sync_at_start,
  no_cluster_sync_at_end,
  multicast_misses_a_block,
  // neighbours: blocks of a cluster read each other's shared memory
  no_cluster_sync_before_read,
};

/// Runs one program on one block or more, with a fault or without.
using Program = void (*)(kernels::Stream, Fault, const void* in, void* out);

// Sizes that programs and their tests agree on.
inline constexpr int sum_threads = 256, sum_rounds = 3;
inline constexpr int exchange_threads = 64;
inline constexpr int histogram_threads = 128, histogram_bins = 8;
inline constexpr int hand_over_steps = 6;
inline constexpr int grid_sum_blocks = 6, grid_sum_threads = 64;
inline constexpr int two_passes_blocks = 4;
inline constexpr int stencil_rows = 3, stencil_width = 50;
inline constexpr int product_rows = 60, product_columns = 56, product_depth = 104;
inline constexpr int pipeline_rows = 128, pipeline_columns = 64, pipeline_depth = 512;
inline constexpr int staged_size = 64;
inline constexpr int store_tiles = 3, store_tile_rows = 8, store_row_floats = 32;
inline constexpr int cluster_pair_floats = 512;

KERNELS_OPTIONAL extern const Program block_sum_cuda, block_sum_emulated;
KERNELS_OPTIONAL extern const Program warp_exchange_cuda, warp_exchange_emulated;
KERNELS_OPTIONAL extern const Program histogram_cuda, histogram_emulated;
KERNELS_OPTIONAL extern const Program hand_over_cuda, hand_over_emulated;
KERNELS_OPTIONAL extern const Program grid_sum_cuda, grid_sum_emulated;
KERNELS_OPTIONAL extern const Program two_passes_cuda, two_passes_emulated;
KERNELS_OPTIONAL extern const Program stencil_cuda, stencil_emulated;
KERNELS_OPTIONAL extern const Program product_cuda, product_emulated;
KERNELS_OPTIONAL extern const Program pipeline_cuda, pipeline_emulated;
KERNELS_OPTIONAL extern const Program staged_product_cuda, staged_product_emulated;
KERNELS_OPTIONAL extern const Program tile_store_cuda, tile_store_emulated;
KERNELS_OPTIONAL extern const Program multicast_cuda, multicast_emulated;
KERNELS_OPTIONAL extern const Program neighbours_cuda, neighbours_emulated;

}  // namespace kinema::test
