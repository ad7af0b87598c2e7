#pragma once
#include <cstring>
#include "kernels/device/twin.h"
#if !KERNELS_CUDA
#include "kernels/device/emulation/async_calls.h"
#endif

// Blocks that run together and see each other's shared memory: Geometry::cluster of a launch.

namespace kinema::kernels::device::inline KERNELS_TWIN {

/// This block's number in its cluster, and the cluster's size.
KERNELS_INLINE uint32_t cluster_rank() {
#if !KERNELS_CUDA
  return emulation::cluster_rank();
#else
  uint32_t rank = 0;
  KERNELS_PTX_SM90("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#endif
}
KERNELS_INLINE uint32_t cluster_size() {
#if !KERNELS_CUDA
  return emulation::cluster_size();
#else
  uint32_t size = 0;
  KERNELS_PTX_SM90("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  return size;
#endif
}

/// A barrier of all threads of the cluster (PTX ISA, "barrier.cluster"), in two halves: each thread
/// arrives once, then waits once. Whole warps must come. No block may leave while another still
/// reads or writes its shared memory: the last thing such kernels do is cluster_sync().
KERNELS_INLINE void cluster_arrive() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("barrier.cluster.arrive.aligned;" ::: "memory");
#else
  emulation::cluster_arrive();
#endif
}
KERNELS_INLINE void cluster_wait() {
#if KERNELS_CUDA
  KERNELS_PTX_SM90("barrier.cluster.wait.aligned;" ::: "memory");
#else
  emulation::cluster_wait();
#endif
}
KERNELS_INLINE void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}

/// PTX ISA, "mapa": the address of what lies at `shared` in this block, in block `rank`.
KERNELS_INLINE uint32_t cluster_address(uint32_t shared, uint32_t rank) {
#if !KERNELS_CUDA
  return emulation::cluster_address(shared, rank);
#else
  uint32_t address = 0;
  KERNELS_PTX_SM90("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared), "r"(rank));
  return address;
#endif
}

/// The T, of 4 or 16 bytes, that another block holds at a cluster_address(), a multiple of its
/// size; and a store of one.
template <class T>
KERNELS_INLINE T load_cluster(uint32_t address) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 16);
  T value;
#if !KERNELS_CUDA
  emulation::load_cluster(address, &value, sizeof(T));
#else
  uint32_t w[sizeof(T) / 4];
  if constexpr (sizeof(T) == 4)
    KERNELS_PTX_SM90("ld.shared::cluster.u32 %0, [%1];" : "=r"(w[0]) : "r"(address) : "memory");
  else
    KERNELS_PTX_SM90("ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
                     : "r"(address)
                     : "memory");
  memcpy(&value, w, sizeof(T));
#endif
  return value;
}
template <class T>
KERNELS_INLINE void store_cluster(uint32_t address, const T& value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 16);
#if !KERNELS_CUDA
  emulation::store_cluster(address, &value, sizeof(T));
#else
  uint32_t w[sizeof(T) / 4];
  memcpy(w, &value, sizeof(T));
  if constexpr (sizeof(T) == 4)
    KERNELS_PTX_SM90("st.shared::cluster.u32 [%0], %1;" ::"r"(address), "r"(w[0]) : "memory");
  else
    KERNELS_PTX_SM90("st.shared::cluster.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(w[0]),
                     "r"(w[1]), "r"(w[2]), "r"(w[3])
                     : "memory");
#endif
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
