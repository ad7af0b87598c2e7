#include "kernels/device/cluster.h"
#include "kernels/device/device.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/tma.h"
#include "tests/conformance_cluster_device_test.h"
#include "tests/support/probe.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_cluster {

using test::cluster_blocks, test::cluster_threads, test::multicast_rows, test::multicast_row_bytes;
using Chunk = Pack<uint32_t, 4>;

constexpr int rows_per_block = multicast_rows / cluster_blocks;
constexpr uint32_t tile_bytes = rows_per_block * multicast_row_bytes;

__global__ void ranks_kernel(const int*, uint32_t* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  if (threadIdx.x == 0) {
    out[2 * block] = cluster_rank();
    out[2 * block + 1] = cluster_size();
  }
}

/// Each thread reads a word and a chunk of the next block, and leaves it another word.
__global__ void exchange_kernel(const uint32_t* in, uint32_t* out) {
  KERNELS_SHARED(Chunk, chunks, cluster_threads);
  KERNELS_SHARED(uint32_t, mail, cluster_threads);
  const unsigned t = threadIdx.x, i = blockIdx.x * cluster_threads + t;
  const uint32_t next = (cluster_rank() + 1) % cluster_size();
#pragma unroll
  for (uint32_t k = 0; k < 4; ++k) chunks[t].lane[k] = in[i] + k;
  cluster_sync();
  const uint32_t there = cluster_address(shared_address(chunks + t), next);
  const uint32_t word = load_cluster<uint32_t>(there + 8);
  const Chunk chunk = load_cluster<Chunk>(there);
  store_cluster(cluster_address(shared_address(mail + t), next), in[i] + 100);
  cluster_sync();
  out[6 * i] = word;
#pragma unroll
  for (unsigned k = 0; k < 4; ++k) out[6 * i + 1 + k] = chunk.lane[k];
  out[6 * i + 5] = mail[t];
}

/// Every block arrives at every block's mbarrier, after it has left its number there.
__global__ void arrivals_kernel(const int*, uint32_t* out) {
  KERNELS_SHARED(uint32_t, numbers, cluster_blocks);
  KERNELS_SHARED(uint64_t, mbarrier, 1);
  const uint32_t all = shared_address(mbarrier), rank = cluster_rank();
  if (threadIdx.x == 0) {
    mbarrier_init(all, cluster_blocks);
    fence_mbarrier_init();
  }
  cluster_sync();
  if (threadIdx.x < cluster_blocks) {
    const uint32_t to = threadIdx.x;
    store_cluster(cluster_address(shared_address(numbers + rank), to), 1u << rank);
    mbarrier_arrive_cluster(cluster_address(all, to));
  }
  mbarrier_wait(all, 0);
  cluster_sync();  // the wait acquires for this block alone; numbers come from the cluster
  uint32_t sum = 0;
  for (int b = 0; b < cluster_blocks; ++b) sum += numbers[b];
  out[blockIdx.x * cluster_threads + threadIdx.x] = sum;
}

/// What is done between the halves is not waited for, what came before them is.
__global__ void halves_kernel(const int*, uint32_t* out) {
  KERNELS_SHARED(uint32_t, number, 1);
  uint32_t own = 0;
  if (threadIdx.x == 0) number[0] = 10 + cluster_rank();
  cluster_arrive();
  own = 1000 * cluster_rank();
  cluster_wait();
  const uint32_t next = (cluster_rank() + 1) % cluster_size();
  const uint32_t word = load_cluster<uint32_t>(cluster_address(shared_address(number), next));
  if (threadIdx.x == 0) out[blockIdx.x] = own + word;
  cluster_sync();
}

/// Each block loads one tile, to all blocks of its cluster but the next.
template <bool Im2col>
__global__ void multicast_kernel(const __grid_constant__ TensorMap map, unsigned char* out) {
  KERNELS_SHARED(uint64_t, mbarrier, 1);
  const uint32_t full = shared_address(mbarrier), rank = cluster_rank();
  unsigned char* tiles = tile_memory<unsigned char>();
  for (uint32_t i = threadIdx.x; i < cluster_blocks * tile_bytes; i += cluster_threads)
    tiles[i] = test::untouched;
  fence_proxy_async();
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    fence_mbarrier_init();
  }
  cluster_sync();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect_tx(full, (cluster_blocks - 1) * tile_bytes);
    const auto blocks = uint16_t(0xf & ~(1u << (rank + 1) % cluster_blocks));
    const uint32_t place = shared_address(tiles) + rank * tile_bytes;
    const int row = int(rank) * rows_per_block;
    if constexpr (Im2col)
      tma_load_im2col_multicast<3>(place, &map, full, {0, row, 0}, {0}, blocks);
    else
      tma_load_multicast<2>(place, &map, full, {0, row}, blocks);
  }
  mbarrier_wait(full, 0);
  for (uint32_t i = threadIdx.x; i < cluster_blocks * tile_bytes; i += cluster_threads)
    out[blockIdx.x * cluster_blocks * tile_bytes + i] = tiles[i];
  cluster_sync();  // none leaves while others still send to it
}

template <auto kernel>
void clusters(Stream stream, const void* in, void* out) {
  probes::start_probe(
      kernel,
      {.grid = test::cluster_grid, .block = cluster_threads, .cluster = {cluster_blocks, 1, 1}},
      stream, in, out);
}

void ranks(Stream stream, const void* in, void* out) {
  probes::start_probe(ranks_kernel, {.grid = {4, 2, 2}, .block = 32, .cluster = {2, 2, 1}}, stream,
                      in, out);
}

template <bool Im2col>
void multicast(Stream stream, const void* in, void* out) {
  constexpr int64_t channels = multicast_row_bytes / 2;
  TensorMap map;
  if constexpr (Im2col)
    map = tensor_map(Im2colTensor{.data = in,
                                  .rank = 3,
                                  .size = {channels, multicast_rows, 1},
                                  .stride = {2, multicast_row_bytes, multicast_row_bytes * 64},
                                  .channels = int(channels),
                                  .pixels = rows_per_block});
  else
    map = tensor_map(TiledTensor{.data = in,
                                 .rank = 2,
                                 .size = {channels, multicast_rows},
                                 .stride = {2, multicast_row_bytes},
                                 .box = {int(channels), rows_per_block}});
  launch("conformance.multicast", multicast_kernel<Im2col>,
         {.grid = test::cluster_grid,
          .block = cluster_threads,
          .shared_bytes = cluster_blocks * tile_bytes + 1024,
          .cluster = {cluster_blocks, 1, 1}},
         stream, map, static_cast<unsigned char*>(out));
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_cluster

namespace kinema::test {

using namespace kernels::device::conformance_cluster;

const ClusterConformance KERNELS_DEVICE(cluster_conformance) = {
    .ranks = ranks,
    .exchange = clusters<exchange_kernel>,
    .arrivals = clusters<arrivals_kernel>,
    .halves = clusters<halves_kernel>,
    .multicast = multicast<false>,
    .multicast_im2col = multicast<true>};

}  // namespace kinema::test
