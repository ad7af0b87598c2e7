#pragma once
#include <cstddef>
#include <cstdint>
#include "kernels/base/half.h"

namespace kinema::kernels::device::emulation {

/// What mma.h, async_copy.h, mbarrier.h, tma.h, wgmma.h, cluster.h and registers.h call in place of
/// instructions. What is asynchronous on a GPU happens here at the latest moment that it may, and
/// until then its destination holds NaN.

enum class Number : uint8_t { bf16, f16, tf32 };
template <class T>
inline constexpr Number number_of = Number::tf32;
template <>
inline constexpr Number number_of<kernels::bf16> = Number::bf16;
template <>
inline constexpr Number number_of<kernels::f16> = Number::f16;

/// `count` matrices of 8x8 16-bit elements between registers and rows of shared memory.
void ldmatrix(uint32_t* registers, uint32_t row, int count, bool transposed);
void stmatrix(const uint32_t* registers, uint32_t row, int count, bool transposed);
/// d[rows][columns] += a[rows] * b[columns], each a tile of mma.sync.
void mma(Number, float* d, const uint32_t* a, const uint32_t* b, int rows, int columns);

/// The first `read` of `bytes` bytes, zeros behind them.
void cp_async(uint32_t shared, const void* global, int bytes, int read);
void cp_async_commit();
void cp_async_wait(int groups);
void cp_async_arrive(uint32_t mbarrier);

void mbarrier_init(uint32_t mbarrier, uint32_t count);
void mbarrier_invalidate(uint32_t mbarrier);
void mbarrier_arrive(uint32_t mbarrier);
void mbarrier_expect(uint32_t mbarrier, uint32_t bytes, bool arrive);
/// True if the phase of that parity is over; else others run first.
bool mbarrier_try_wait(uint32_t mbarrier, uint32_t parity);
void mbarrier_wait(uint32_t mbarrier, uint32_t parity);
void fence_mbarrier_init();
void fence_proxy_async();

/// One bulk copy of a tile: what the instruction says.
struct TensorCopy {
  const void* map;
  uint32_t shared, mbarrier;
  uint16_t blocks;  ///< of the cluster that get the tile; 0: the one that asks
  int rank;
  int at[5];
  bool im2col;
  int offset[3];
};
void tma_load(const TensorCopy&);
void tma_store(const TensorCopy&, bool add);
void tma_prefetch(const void* map);
void bulk_load(uint32_t shared, const void* global, uint32_t bytes, uint32_t mbarrier);
void bulk_store(void* global, uint32_t shared, uint32_t bytes);
void bulk_commit();
/// `reading`: until the sources have been read; else until all is written.
void bulk_wait(int groups, bool reading);

/// One wgmma: a is a descriptor, or registers where they are not nullptr.
struct WarpgroupMma {
  Number type;
  int columns;
  float* d;
  uint64_t a, b;
  const uint32_t* a_registers;
  bool a_mn_major, b_mn_major, accumulate;
};
void wgmma(const WarpgroupMma&);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int groups);

bool elect_one();
void set_registers(int count, bool more);

void cluster_arrive();
void cluster_wait();
uint32_t cluster_rank();
uint32_t cluster_size();
uint32_t cluster_address(uint32_t shared, uint32_t rank);
void load_cluster(uint32_t address, void* value, uint32_t bytes);
void store_cluster(uint32_t address, const void* value, uint32_t bytes);

}  // namespace kinema::kernels::device::emulation
