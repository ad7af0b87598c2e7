#include "kernels/device/device.h"
#include "tests/conformance_number_device_test.h"
#include "tests/support/probe.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_number {

using test::Division, test::Row, test::SmallDivision;

template <class T>
__global__ void narrow_kernel(const float* in, T* out) {
  for (int64_t i = first_index(); i < test::conversions; i += index_step())
    out[i] = from_float<T>(in[i]);
}

template <class T>
__global__ void widen_kernel(const T* in, float* out) {
  for (int64_t i = first_index(); i < 65536; i += index_step()) out[i] = to_float(in[i]);
}

template <class T, int N>
__global__ void reverse_kernel(const T* in, T* out) {
  for (int64_t i = first_index() * N; i < test::pack_elements; i += index_step() * N) {
    const Pack<T, N> from = load_pack<N>(in + i);
    Pack<T, N> to;
#pragma unroll
    for (int k = 0; k < N; ++k) to.lane[k] = from.lane[N - 1 - k];
    store_pack<N>(out + i, to);
  }
}

template <class T>
__global__ void increment_kernel(const T* in, T* out) {
  for (int64_t i = first_index() * 8; i < test::pack_elements; i += index_step() * 8) {
    float values[8];
    load_floats<8>(in + i, values);
#pragma unroll
    for (int k = 0; k < 8; ++k) values[k] += 1.0f;
    store_floats<8>(out + i, values);
  }
}

__global__ void integers_kernel(const uint32_t* in, uint32_t* out) {
  for (int64_t i = first_index(); i < test::number_pairs; i += index_step()) {
    const uint32_t a = in[2 * i], b = in[2 * i + 1];
    out[5 * i] = uint32_t(__popc(a));
    out[5 * i + 1] = uint32_t(__clz(int(a)));
    out[5 * i + 2] = uint32_t(__ffs(int(a)));
    out[5 * i + 3] = __umulhi(a, b);
    out[5 * i + 4] = __float_as_uint(-__uint_as_float(a));
  }
}

__global__ void high_kernel(const uint64_t* in, uint64_t* out) {
  for (int64_t i = first_index(); i < test::number_pairs; i += index_step())
    out[i] = multiply_high(in[2 * i], in[2 * i + 1]);
}

__global__ void functions_kernel(const float* in, float* out) {
  for (int64_t i = first_index(); i < test::number_pairs; i += index_step()) {
    const float a = in[2 * i], b = in[2 * i + 1];
    out[5 * i] = rsqrtf(b);
    out[5 * i + 1] = __expf(a);
    out[5 * i + 2] = __logf(b);
    out[5 * i + 3] = __fdividef(a, b);
    out[5 * i + 4] = max_or_nan(a, b);
  }
}

__global__ void divide_kernel(const Division* in, int64_t* out) {
  for (int64_t i = first_index(); i < test::divisions; i += index_step()) {
    out[2 * i] = in[i].by.quotient(in[i].n);
    out[2 * i + 1] = in[i].by.remainder(in[i].n);
  }
}

__global__ void divide_small_kernel(const SmallDivision* in, int* out) {
  for (int64_t i = first_index(); i < test::divisions; i += index_step()) {
    out[2 * i] = in[i].by.quotient(in[i].n);
    out[2 * i + 1] = in[i].by.remainder(in[i].n);
  }
}

__global__ void find_rows_kernel(const Row* in, int64_t* out) {
  for (int64_t i = first_index(); i < test::rows_found; i += index_step())
    out[i] = in[i].rows(in[i].row);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_number

namespace kinema::test {

using namespace kernels::device::conformance_number;
using kernels::device::probes::probe, kernels::bf16, kernels::f16;

const NumberConformance KERNELS_DEVICE(number_conformance) = {
    .to_bf16 = probe<narrow_kernel<bf16>, 128, 4>,
    .to_f16 = probe<narrow_kernel<f16>, 128, 4>,
    .to_f32 = probe<narrow_kernel<float>, 128, 4>,
    .from_bf16 = probe<widen_kernel<bf16>, 128, 4>,
    .from_f16 = probe<widen_kernel<f16>, 128, 4>,
    .reverse_f32 = {probe<reverse_kernel<float, 2>, 64>, probe<reverse_kernel<float, 4>, 64>},
    .reverse_f16 = {probe<reverse_kernel<f16, 2>, 64>, probe<reverse_kernel<f16, 4>, 64>,
                    probe<reverse_kernel<f16, 8>, 64>},
    .increment_bf16 = probe<increment_kernel<bf16>, 64>,
    .increment_f16 = probe<increment_kernel<f16>, 64>,
    .integers = probe<integers_kernel, 128, 2>,
    .high = probe<high_kernel, 128, 2>,
    .functions = probe<functions_kernel, 128, 2>,
    .divide = probe<divide_kernel, 128, 2>,
    .divide_small = probe<divide_small_kernel, 128, 2>,
    .find_rows = probe<find_rows_kernel, 128, 2>};

}  // namespace kinema::test
