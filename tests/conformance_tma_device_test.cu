#include <type_traits>
#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/tma.h"
#include "tests/conformance_tma_device_test.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_tma {

using test::TileCase;

constexpr int threads = 64;

struct Coordinates {
  int at[5], offset[3];
};

template <int Rank>
KERNELS_INLINE void first(int (&to)[Rank], const int* from) {
#pragma unroll
  for (int i = 0; i < Rank; ++i) to[i] = from[i];
}

template <int Rank, bool Im2col>
__global__ void load_kernel(const __grid_constant__ TensorMap map, Coordinates where,
                            uint32_t bytes, char* out) {
  KERNELS_SHARED(uint64_t, mbarrier, 1);
  const char* tile = tile_memory<char>();
  const uint32_t full = shared_address(mbarrier);
  if (threadIdx.x == 0) {
    tma_prefetch(&map);
    mbarrier_init(full, 1);
    fence_mbarrier_init();
    int at[Rank];
    first(at, where.at);
    mbarrier_arrive_expect_tx(full, bytes);
    if constexpr (Im2col) {
      int offset[Rank - 2];
      first(offset, where.offset);
      tma_load_im2col(shared_address(tile), &map, full, at, offset, CachePolicy::evict_last);
    } else {
      tma_load(shared_address(tile), &map, full, at, CachePolicy::evict_first);
    }
  }
  __syncthreads();
  mbarrier_wait(full, 0);
  for (uint32_t i = threadIdx.x; i < bytes; i += threads) out[i] = tile[i];
}

enum class Put { tile, rows, sum };

template <int Rank, Put How>
__global__ void store_kernel(const __grid_constant__ TensorMap map, Coordinates where,
                             uint32_t bytes, const char* in) {
  char* tile = tile_memory<char>();
  for (uint32_t i = threadIdx.x; i < bytes; i += threads) tile[i] = in[i];
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x) return;
  int at[Rank];
  first(at, where.at);
  if constexpr (How == Put::tile) {
    tma_store(&map, shared_address(tile), at);
  } else if constexpr (How == Put::rows) {
    tma_store_im2col(&map, shared_address(tile), at);
  } else {
    for (int i = 0; i < 3; ++i) tma_store_add(&map, shared_address(tile), at);
  }
  bulk_commit();
  bulk_wait<0>();
}

TensorMap map_of(const TileCase& c, const void* data) {
  const auto common = [&](auto tensor) {
    tensor.data = data;
    tensor.type = c.type;
    tensor.rank = c.rank;
    for (int a = 0; a < c.rank; ++a) {
      tensor.size[a] = c.size[a];
      tensor.stride[a] = c.stride(a);
      tensor.step[a] = c.step[a];
    }
    tensor.swizzle = Swizzle(c.swizzle);
    return tensor;
  };
  if (!c.im2col()) {
    TiledTensor tiled = common(TiledTensor{});
    for (int a = 0; a < c.rank; ++a) tiled.box[a] = c.box[a];
    return tensor_map(tiled);
  }
  Im2colTensor rows = common(Im2colTensor{});
  for (int a = 0; a < c.rank - 2; ++a) {
    rows.lower[a] = c.lower[a];
    rows.upper[a] = c.upper[a];
  }
  rows.channels = c.channels;
  rows.pixels = c.pixels;
  return tensor_map(rows);
}

template <class... P, class T>
void start(void (*kernel)(P...), Stream stream, const TileCase& c, const void* tensor, T* tile) {
  Coordinates where;
  for (int i = 0; i < 5; ++i) where.at[i] = c.at[i];
  for (int i = 0; i < 3; ++i) where.offset[i] = c.offset[i];
  const int64_t bytes = c.tile_bytes();
  launch("conformance.tma", kernel, {.grid = 1, .block = threads, .shared_bytes = bytes + 1024},
         stream, map_of(c, tensor), where, uint32_t(bytes), tile);
}

/// f(rank as a type) for ranks from Least on.
template <int Least, class F>
void dispatch_rank(int rank, F f) {
  if constexpr (Least == 1) {
    if (rank == 1) return f(std::integral_constant<int, 1>());
    if (rank == 2) return f(std::integral_constant<int, 2>());
  }
  if (rank == 3) return f(std::integral_constant<int, 3>());
  if (rank == 4) return f(std::integral_constant<int, 4>());
  f(std::integral_constant<int, 5>());
}

void load(Stream stream, const TileCase& c, const void* tensor, void* tile) {
  auto* out = static_cast<char*>(tile);
  if (c.im2col())
    dispatch_rank<3>(c.rank, [&](auto r) { start(load_kernel<r, true>, stream, c, tensor, out); });
  else
    dispatch_rank<1>(c.rank, [&](auto r) { start(load_kernel<r, false>, stream, c, tensor, out); });
}

void store(Stream stream, const TileCase& c, const void* tile, void* tensor) {
  const auto* in = static_cast<const char*>(tile);
  if (c.im2col())
    start(store_kernel<5, Put::rows>, stream, c, tensor, in);
  else
    dispatch_rank<1>(c.rank,
                     [&](auto r) { start(store_kernel<r, Put::tile>, stream, c, tensor, in); });
}

void add(Stream stream, const TileCase& c, const void* tile, void* tensor) {
  clear(stream, tensor, c.tensor_bytes());
  start(store_kernel<2, Put::sum>, stream, c, tensor, static_cast<const char*>(tile));
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_tma

namespace kinema::test {

namespace device = kernels::device::conformance_tma;

const TmaConformance KERNELS_DEVICE(tma_conformance) = {
    .load = device::load, .store = device::store, .add = device::add};

}  // namespace kinema::test
