#include "kernels/device/device.h"
#include "kernels/device/mma.h"
#include "tests/conformance_tensor_core_device_test.h"
#include "tests/support/probe.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_tensor_core {

using test::MatrixInput, test::MmaInput, test::TileInput;

template <class T>
__global__ void mma_kernel(const MmaInput* in, float* out) {
  const unsigned lane = threadIdx.x;
  uint32_t a[4], b[2];
  float d[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = in->a[lane][i], d[i] = in->c[lane][i];
#pragma unroll
  for (int i = 0; i < 2; ++i) b[i] = in->b[lane][i];
  mma<T>(d, a, b);
#pragma unroll
  for (int i = 0; i < 4; ++i) out[4 * lane + i] = d[i];
}

template <class T>
__global__ void tile_kernel(const TileInput* in, float* out) {
  const unsigned lane = threadIdx.x;
  uint32_t a[2][4], b[3][2];
  float d[2][3][4];
#pragma unroll
  for (int i = 0; i < 8; ++i) a[i / 4][i % 4] = in->a[lane][i / 4][i % 4];
#pragma unroll
  for (int i = 0; i < 6; ++i) b[i / 2][i % 2] = in->b[lane][i / 2][i % 2];
#pragma unroll
  for (int i = 0; i < 24; ++i) d[i / 12][i / 4 % 3][i % 4] = in->c[lane][i / 12][i / 4 % 3][i % 4];
  mma_tile<T, 2, 3>(d, a, b);
#pragma unroll
  for (int i = 0; i < 24; ++i) out[24 * lane + i] = d[i / 12][i / 4 % 3][i % 4];
}

using Line = Pack<uint16_t, 8>;

/// The lines in shared memory, in all lanes.
KERNELS_INLINE void fill(Line (&lines)[64], const MatrixInput* in) {
  for (unsigned i = threadIdx.x; i < 64; i += 32) lines[i] = load_pack<8>(&in->lines[i][0]);
  __syncwarp();
}

template <int Count, bool Transposed>
__global__ void ldmatrix_kernel(const MatrixInput* in, uint32_t* out) {
  KERNELS_SHARED(Line, lines, 64);
  fill(lines, in);
  const unsigned lane = threadIdx.x;
  const uint32_t row = shared_address(lines + in->line[lane]);
  uint32_t r[Count];
  if constexpr (Transposed)
    ldmatrix_trans<Count>(r, row);
  else
    ldmatrix<Count>(r, row);
#pragma unroll
  for (int i = 0; i < Count; ++i) out[4 * lane + i] = r[i];
}

template <int Count, bool Transposed>
__global__ void stmatrix_kernel(const MatrixInput* in, uint16_t* out) {
  KERNELS_SHARED(Line, lines, 64);
  fill(lines, in);
  const unsigned lane = threadIdx.x;
  const uint32_t row = shared_address(lines + in->line[lane]);
  uint32_t r[Count];
#pragma unroll
  for (int i = 0; i < Count; ++i) r[i] = in->registers[lane][i];
  if constexpr (Transposed)
    stmatrix_trans<Count>(row, r);
  else
    stmatrix<Count>(row, r);
  __syncwarp();
  for (unsigned i = lane; i < 64; i += 32) store_pack<8>(out + 8 * i, lines[i]);
}

template <class T>
__global__ void register_kernel(const float* in, uint32_t* out) {
  for (int64_t i = first_index(); i < test::register_values / 2; i += index_step())
    out[i] = register_of<T>(in[2 * i], in[2 * i + 1]);
}
__global__ void tf32_kernel(const float* in, uint32_t* out) {
  for (int64_t i = first_index(); i < test::register_values; i += index_step())
    out[i] = tf32_register_of(in[i]);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_tensor_core

namespace kinema::test {

using namespace kernels::device::conformance_tensor_core;
using kernels::device::probes::probe, kernels::bf16, kernels::f16;

const TensorCoreConformance KERNELS_DEVICE(tensor_core_conformance) = {
    .mma_bf16 = probe<mma_kernel<bf16>, 32>,
    .mma_f16 = probe<mma_kernel<f16>, 32>,
    .mma_tf32 = probe<mma_kernel<float>, 32>,
    .tile_bf16 = probe<tile_kernel<bf16>, 32>,
    .tile_f16 = probe<tile_kernel<f16>, 32>,
    .tile_tf32 = probe<tile_kernel<float>, 32>,
    .ldmatrix = {probe<ldmatrix_kernel<1, false>, 32>, probe<ldmatrix_kernel<2, false>, 32>,
                 probe<ldmatrix_kernel<4, false>, 32>},
    .ldmatrix_trans = {probe<ldmatrix_kernel<1, true>, 32>, probe<ldmatrix_kernel<2, true>, 32>,
                       probe<ldmatrix_kernel<4, true>, 32>},
    .stmatrix = {probe<stmatrix_kernel<1, false>, 32>, probe<stmatrix_kernel<2, false>, 32>,
                 probe<stmatrix_kernel<4, false>, 32>},
    .stmatrix_trans = {probe<stmatrix_kernel<1, true>, 32>, probe<stmatrix_kernel<2, true>, 32>,
                       probe<stmatrix_kernel<4, true>, 32>},
    .register_bf16 = probe<register_kernel<bf16>, 64>,
    .register_f16 = probe<register_kernel<f16>, 64>,
    .tf32 = probe<tf32_kernel, 64>};

}  // namespace kinema::test
