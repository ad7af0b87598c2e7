#pragma once
#include "kernels/device/tensor_map.h"
#include "kernels/device/warp.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/async_calls.h"
#endif

// Bulk copies between global and shared memory, of sm_90: PTX ISA, "cp.async.bulk",
// "cp.async.bulk.tensor". One
// thread asks for a whole tile. Loads tell an mbarrier of the threads when bytes have come, the
// tile's whole size, what lies outside of the tensor included; stores belong to groups of the
// thread that asks. A tile lies on a multiple of 128 bytes, rather of its swizzle's pattern. What
// threads have written into shared memory is seen by a store after fence_proxy_async() and a
// barrier.

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// Dynamic shared memory from the next multiple of 1024 bytes on, where the pattern of any swizzle
/// may begin: what a launch asks for holds 1024 bytes more than its tiles.
template <class T>
KERNELS_INLINE T* tile_memory() {
  char* start = dynamic_shared<char>();
  return reinterpret_cast<T*>(start + (-shared_address(start) & 1023));
}

/// What L2 is to do with a tile: values of createpolicy.fractional for all of it, as CUTLASS
/// TMA::CacheHintSm90 has them.
enum class CachePolicy : uint64_t {
  normal = 0x1000000000000000,
  evict_first = 0x12F0000000000000,
  evict_last = 0x14F0000000000000
};

#if KERNELS_CUDA
// The instructions differ in rank: coordinates are operands 0 to 4, so many of which are named.
#define KERNELS_AT_1 "{%0}"
#define KERNELS_AT_2 "{%0, %1}"
#define KERNELS_AT_3 "{%0, %1, %2}"
#define KERNELS_AT_4 "{%0, %1, %2, %3}"
#define KERNELS_AT_5 "{%0, %1, %2, %3, %4}"
#define KERNELS_AT                                                                                \
  "r"(at[0]), "r"(Rank > 1 ? at[Rank > 1 ? 1 : 0] : 0), "r"(Rank > 2 ? at[Rank > 2 ? 2 : 0] : 0), \
      "r"(Rank > 3 ? at[Rank > 3 ? 3 : 0] : 0), "r"(Rank > 4 ? at[Rank > 4 ? 4 : 0] : 0)
// The filter's offsets, operands 9 to 11.
#define KERNELS_OFFSET_3 "{%9}"
#define KERNELS_OFFSET_4 "{%9, %10}"
#define KERNELS_OFFSET_5 "{%9, %10, %11}"
#define KERNELS_OFFSET                                                              \
  "h"(uint16_t(offset[0])), "h"(uint16_t(Rank > 3 ? offset[Rank > 3 ? 1 : 0] : 0)), \
      "h"(uint16_t(Rank > 4 ? offset[Rank > 4 ? 2 : 0] : 0))
#define KERNELS_IM2COL_OF_RANK(instruction) \
  static_assert(Rank >= 3 && Rank <= 5);    \
  if constexpr (Rank == 3)                  \
    instruction(3);                         \
  else if constexpr (Rank == 4)             \
    instruction(4);                         \
  else                                      \
    instruction(5)
#define KERNELS_TILE_OF_RANK(instruction) \
  static_assert(Rank >= 1 && Rank <= 5);  \
  if constexpr (Rank == 1)                \
    instruction(1);                       \
  else if constexpr (Rank == 2)           \
    instruction(2);                       \
  else if constexpr (Rank == 3)           \
    instruction(3);                       \
  else if constexpr (Rank == 4)           \
    instruction(4);                       \
  else                                    \
    instruction(5)
#else
/// The instruction as the emulation takes it.
template <int Rank>
emulation::TensorCopy tensor_copy(const TensorMap* map, uint32_t shared, const int (&at)[Rank]) {
  emulation::TensorCopy copy{map, shared, 0, 0, Rank, {}, false, {}};
  for (int i = 0; i < Rank; ++i) copy.at[i] = at[i];
  return copy;
}
template <int Rank>
emulation::TensorCopy tensor_copy(const TensorMap* map, uint32_t shared, const int (&at)[Rank],
                                  const int (&offset)[Rank - 2]) {
  emulation::TensorCopy copy = tensor_copy(map, shared, at);
  copy.im2col = true;
  for (int i = 0; i < Rank - 2; ++i) copy.offset[i] = offset[i];
  return copy;
}
#endif

/// Begins to load the box of a tiled map whose first element is `at`, axis 0 first, to `shared`.
template <int Rank>
KERNELS_INLINE void tma_load(uint32_t shared, const TensorMap* map, uint32_t mbarrier,
                             const int (&at)[Rank], CachePolicy policy = CachePolicy::normal) {
#if !KERNELS_CUDA
  (void)policy;
  emulation::TensorCopy copy = tensor_copy(map, shared, at);
  copy.mbarrier = mbarrier;
  emulation::tma_load(copy);
#else
#define KERNELS_TMA(rank)                                                                       \
  KERNELS_PTX_SM90("cp.async.bulk.tensor." #rank                                                \
                   "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"                 \
                   ".L2::cache_hint [%5], [%6, " KERNELS_AT_##rank "], [%7], %8;" ::KERNELS_AT, \
                   "r"(shared), "l"(map), "r"(mbarrier), "l"(policy)                            \
                   : "memory")
  KERNELS_TILE_OF_RANK(KERNELS_TMA);
#undef KERNELS_TMA
#endif
}

/// The same, to the same address in each block of the cluster whose bit is set in `blocks`; each
/// one's own mbarrier at that address hears of it.
template <int Rank>
KERNELS_INLINE void tma_load_multicast(uint32_t shared, const TensorMap* map, uint32_t mbarrier,
                                       const int (&at)[Rank], uint16_t blocks,
                                       CachePolicy policy = CachePolicy::normal) {
#if !KERNELS_CUDA
  (void)policy;
  emulation::TensorCopy copy = tensor_copy(map, shared, at);
  copy.mbarrier = mbarrier;
  copy.blocks = blocks;
  emulation::tma_load(copy);
#else
#define KERNELS_TMA(rank)                                                             \
  KERNELS_PTX_SM90("cp.async.bulk.tensor." #rank                                      \
                   "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"       \
                   ".multicast::cluster.L2::cache_hint [%5], [%6, " KERNELS_AT_##rank \
                   "], [%7], %9, %8;" ::KERNELS_AT,                                   \
                   "r"(shared), "l"(map), "r"(mbarrier), "l"(policy), "h"(blocks)     \
                   : "memory")
  KERNELS_TILE_OF_RANK(KERNELS_TMA);
#undef KERNELS_TMA
#endif
}

/// Begins to load a tile of an im2col map: its rows are the pixels from `at` on, each moved by
/// `offset`, width first: element (of the filter) * dilation. `at` is channel, (width, (height,
/// (depth,))) clip of the first pixel, within the bounding box. Offsets are at most 2^16-1, 2^8-1,
/// 31 for ranks 3, 4, 5.
template <int Rank>
KERNELS_INLINE void tma_load_im2col(uint32_t shared, const TensorMap* map, uint32_t mbarrier,
                                    const int (&at)[Rank], const int (&offset)[Rank - 2],
                                    CachePolicy policy = CachePolicy::normal) {
#if !KERNELS_CUDA
  (void)policy;
  emulation::TensorCopy copy = tensor_copy(map, shared, at, offset);
  copy.mbarrier = mbarrier;
  emulation::tma_load(copy);
#else
#define KERNELS_TMA(rank)                                                            \
  KERNELS_PTX_SM90("cp.async.bulk.tensor." #rank                                     \
                   "d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes"    \
                   ".L2::cache_hint [%5], [%6, " KERNELS_AT_##rank                   \
                   "], [%7], " KERNELS_OFFSET_##rank ", %8;" ::KERNELS_AT,           \
                   "r"(shared), "l"(map), "r"(mbarrier), "l"(policy), KERNELS_OFFSET \
                   : "memory")
  KERNELS_IM2COL_OF_RANK(KERNELS_TMA);
#undef KERNELS_TMA
#endif
}
template <int Rank>
KERNELS_INLINE void tma_load_im2col_multicast(uint32_t shared, const TensorMap* map,
                                              uint32_t mbarrier, const int (&at)[Rank],
                                              const int (&offset)[Rank - 2], uint16_t blocks,
                                              CachePolicy policy = CachePolicy::normal) {
#if !KERNELS_CUDA
  (void)policy;
  emulation::TensorCopy copy = tensor_copy(map, shared, at, offset);
  copy.mbarrier = mbarrier;
  copy.blocks = blocks;
  emulation::tma_load(copy);
#else
#define KERNELS_TMA(rank)                                                                         \
  KERNELS_PTX_SM90("cp.async.bulk.tensor." #rank                                                  \
                   "d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes"                 \
                   ".multicast::cluster.L2::cache_hint [%5], [%6, " KERNELS_AT_##rank             \
                   "], [%7], " KERNELS_OFFSET_##rank ", %12, %8;" ::KERNELS_AT,                   \
                   "r"(shared), "l"(map), "r"(mbarrier), "l"(policy), KERNELS_OFFSET, "h"(blocks) \
                   : "memory")
  KERNELS_IM2COL_OF_RANK(KERNELS_TMA);
#undef KERNELS_TMA
#endif
}

/// Fetches the map itself: worth a call by one thread at the start of a kernel.
KERNELS_INLINE void tma_prefetch(const TensorMap* map) {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("prefetch.tensormap [%0];" ::"l"(map) : "memory");
#else
  emulation::tma_prefetch(map);
#endif
}

/// Begins to store a box from `shared`, what lies within the tensor; to add it to what is there, in
/// no order that anybody could name; and to store rows of an im2col map, without offsets.
template <int Rank>
KERNELS_INLINE void tma_store(const TensorMap* map, uint32_t shared, const int (&at)[Rank]) {
#if !KERNELS_CUDA
  emulation::tma_store(tensor_copy(map, shared, at), false);
#else
#define KERNELS_TMA(rank)                                                         \
  KERNELS_PTX_SM90("cp.async.bulk.tensor." #rank                                  \
                   "d.global.shared::cta.tile.bulk_group [%5, " KERNELS_AT_##rank \
                   "], [%6];" ::KERNELS_AT,                                       \
                   "l"(map), "r"(shared)                                          \
                   : "memory")
  KERNELS_TILE_OF_RANK(KERNELS_TMA);
#undef KERNELS_TMA
#endif
}
template <int Rank>
KERNELS_INLINE void tma_store_add(const TensorMap* map, uint32_t shared, const int (&at)[Rank]) {
#if !KERNELS_CUDA
  emulation::tma_store(tensor_copy(map, shared, at), true);
#else
#define KERNELS_TMA(rank)                                                             \
  KERNELS_PTX_SM90("cp.reduce.async.bulk.tensor." #rank                               \
                   "d.global.shared::cta.add.tile.bulk_group [%5, " KERNELS_AT_##rank \
                   "], [%6];" ::KERNELS_AT,                                           \
                   "l"(map), "r"(shared)                                              \
                   : "memory")
  KERNELS_TILE_OF_RANK(KERNELS_TMA);
#undef KERNELS_TMA
#endif
}
template <int Rank>
KERNELS_INLINE void tma_store_im2col(const TensorMap* map, uint32_t shared, const int (&at)[Rank]) {
#if !KERNELS_CUDA
  emulation::TensorCopy copy = tensor_copy(map, shared, at);
  copy.im2col = true;
  emulation::tma_store(copy, false);
#else
#define KERNELS_TMA(rank)                                                                   \
  KERNELS_PTX_SM90("cp.async.bulk.tensor." #rank                                            \
                   "d.global.shared::cta.im2col_no_offs.bulk_group [%5, " KERNELS_AT_##rank \
                   "], [%6];" ::KERNELS_AT,                                                 \
                   "l"(map), "r"(shared)                                                    \
                   : "memory")
  KERNELS_IM2COL_OF_RANK(KERNELS_TMA);
#undef KERNELS_TMA
#endif
}

/// Begins to copy `bytes` that lie side by side, to shared and to global memory; addresses and
/// bytes are multiples of 16.
KERNELS_INLINE void bulk_load(uint32_t shared, const void* global, uint32_t bytes,
                              uint32_t mbarrier) {
#if KERNELS_CUDA
  KERNELS_PTX_SM90(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
      "[%3];" ::"r"(shared),
      "l"(global), "r"(bytes), "r"(mbarrier)
      : "memory");
#else
  emulation::bulk_load(shared, global, bytes, mbarrier);
#endif
}
KERNELS_INLINE void bulk_store(void* global, uint32_t shared, uint32_t bytes) {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(global),
                   "r"(shared), "r"(bytes)
                   : "memory");
#else
  emulation::bulk_store(global, shared, bytes);
#endif
}

/// The stores that this thread has begun since the last one are a group.
KERNELS_INLINE void bulk_commit() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("cp.async.bulk.commit_group;" ::: "memory");
#else
  emulation::bulk_commit();
#endif
}
/// Waits until all groups of this thread but the last `Groups` are written; _read: until shared
/// memory has been read, and may be used again.
template <int Groups>
KERNELS_INLINE void bulk_wait() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("cp.async.bulk.wait_group %0;" ::"n"(Groups) : "memory");
#else
  emulation::bulk_wait(Groups, false);
#endif
}
template <int Groups>
KERNELS_INLINE void bulk_wait_read() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("cp.async.bulk.wait_group.read %0;" ::"n"(Groups) : "memory");
#else
  emulation::bulk_wait(Groups, true);
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
