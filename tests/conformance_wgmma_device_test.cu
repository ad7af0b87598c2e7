#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/device/mbarrier.h"
#include "kernels/device/tma.h"
#include "kernels/device/wgmma.h"
#include "tests/conformance_wgmma_device_test.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_wgmma {

using test::wgmma_steps, test::OperandPlace, test::WgmmaInput, test::WgmmaReading,
    test::WgmmaVariant;

template <Swizzle S>
KERNELS_INLINE void describe(uint64_t (&to)[wgmma_steps], const OperandPlace& p, uint32_t image) {
#pragma unroll
  for (int step = 0; step < wgmma_steps; ++step)
    to[step] = wgmma_descriptor<S>(image + p.offset[step], p.leading, p.stride);
}
/// The descriptors of all steps, ahead of the first wgmma: no branches between them.
KERNELS_INLINE void descriptors(uint64_t (&to)[wgmma_steps], const OperandPlace& p,
                                uint32_t image) {
  if (p.swizzle == 0)
    describe<Swizzle::none>(to, p, image);
  else if (p.swizzle == 1)
    describe<Swizzle::bytes32>(to, p, image);
  else if (p.swizzle == 2)
    describe<Swizzle::bytes64>(to, p, image);
  else
    describe<Swizzle::bytes128>(to, p, image);
}

/// Copies the image to where the pattern of any swizzle may begin.
template <class Input>
KERNELS_INLINE uint32_t load_image(const Input* in) {
  char* image = tile_memory<char>();
  const char* from = reinterpret_cast<const char*>(in + 1);
  for (uint32_t i = 16 * threadIdx.x; i < in->image_bytes; i += 16 * 128)
    store_pack<16>(image + i, load_pack<16>(from + i));
  fence_proxy_async();
  __syncthreads();
  return shared_address(image);
}

template <class T, Major A, Major B, int N>
__global__ void __launch_bounds__(128) shared_kernel(const WgmmaInput* in, float* out) {
  const uint32_t image = load_image(in);
  uint64_t a[wgmma_steps], b[wgmma_steps];
  descriptors(a, in->a, image);
  descriptors(b, in->b, image);
  const bool accumulate = in->accumulate;
  float d[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; ++i) d[i] = 1;
  wgmma_hold(d);
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < wgmma_steps; ++step)
    wgmma<T, A, B>(d, a[step], b[step], step > 0 || accumulate);
  wgmma_commit();
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < N / 2; ++i) out[int(threadIdx.x) * (N / 2) + i] = d[i];
}

template <class T, Major B, int N>
__global__ void __launch_bounds__(128)
    registers_kernel(const WgmmaInput* in, const uint32_t* registers, float* out) {
  const uint32_t image = load_image(in);
  uint64_t b[wgmma_steps];
  descriptors(b, in->b, image);
  const bool accumulate = in->accumulate;
  float d[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; ++i) d[i] = 1;
  uint32_t a[wgmma_steps][4];
#pragma unroll
  for (int i = 0; i < 4 * wgmma_steps; ++i)
    a[i / 4][i % 4] = registers[4 * wgmma_steps * int(threadIdx.x) + i];
  wgmma_hold(d);
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < wgmma_steps; ++step)
    wgmma<T, B>(d, a[step], b[step], step > 0 || accumulate);
  wgmma_commit();
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < N / 2; ++i) out[int(threadIdx.x) * (N / 2) + i] = d[i];
}

/// Steps 0 and 1 as products of their own.
__global__ void __launch_bounds__(128) groups_kernel(const WgmmaInput* in, float* out) {
  const uint32_t image = load_image(in);
  uint64_t a[wgmma_steps], b[wgmma_steps];
  descriptors(a, in->a, image);
  descriptors(b, in->b, image);
  float first[8] = {}, second[8] = {};
  wgmma_hold(first);
  wgmma_hold(second);
  wgmma_fence();
  wgmma<bf16>(first, a[0], b[0], false);
  wgmma_commit();
  wgmma<bf16>(second, a[1], b[1], false);
  wgmma_commit();
  wgmma_wait<1>();
  wgmma_hold(first);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[8 * threadIdx.x + unsigned(i)] = first[i];
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < 8; ++i) out[8 * (128 + threadIdx.x) + unsigned(i)] = second[i];
}

KERNELS_INLINE uint64_t descriptor_of(const WgmmaReading& r, uint32_t image) {
  const uint32_t start = image + r.start;
  if (r.swizzle == 0)
    return wgmma_descriptor<Swizzle::none>(start, r.leading, r.stride, r.base_offset);
  if (r.swizzle == 1)
    return wgmma_descriptor<Swizzle::bytes32>(start, r.leading, r.stride, r.base_offset);
  if (r.swizzle == 2)
    return wgmma_descriptor<Swizzle::bytes64>(start, r.leading, r.stride, r.base_offset);
  return wgmma_descriptor<Swizzle::bytes128>(start, r.leading, r.stride, r.base_offset);
}

template <Major A>
__global__ void __launch_bounds__(128) reading_kernel(const WgmmaReading* in, float* out) {
  const uint32_t image = load_image(in);
  const uint64_t a = descriptor_of(*in, image);
  const uint64_t identity = wgmma_descriptor<Swizzle::none>(image + in->identity, 128, 256);
  float d[8] = {};
  wgmma_hold(d);
  wgmma_fence();
  wgmma<bf16, A, Major::k>(d, a, identity, false);
  wgmma_commit();
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < 8; ++i) out[8 * threadIdx.x + unsigned(i)] = d[i];
}

Geometry warpgroup(int64_t image_bytes) {
  return {.grid = 1, .block = 128, .shared_bytes = image_bytes + 1024};
}

template <class T, Major A, Major B, int N>
void run_shared(Stream stream, const void* in, const void*, int64_t bytes, void* out) {
  launch("conformance.wgmma", shared_kernel<T, A, B, N>, warpgroup(bytes), stream,
         static_cast<const WgmmaInput*>(in), static_cast<float*>(out));
}
template <class T, Major B, int N>
void run_registers(Stream stream, const void* in, const void* a, int64_t bytes, void* out) {
  launch("conformance.wgmma", registers_kernel<T, B, N>, warpgroup(bytes), stream,
         static_cast<const WgmmaInput*>(in), static_cast<const uint32_t*>(a),
         static_cast<float*>(out));
}
void groups(Stream stream, const void* in, int64_t bytes, void* out) {
  launch("conformance.wgmma", groups_kernel, warpgroup(bytes), stream,
         static_cast<const WgmmaInput*>(in), static_cast<float*>(out));
}

template <Major A>
void read_by(Stream stream, const void* in, int64_t bytes, void* out) {
  launch("conformance.wgmma", reading_kernel<A>, warpgroup(bytes), stream,
         static_cast<const WgmmaReading*>(in), static_cast<float*>(out));
}

constexpr Major k = Major::k, mn = Major::mn;

/// Each type, each pair of majors, operands in registers, widths from the least to the greatest.
constexpr WgmmaVariant variants[] = {
    {WgmmaVariant::bf16, false, false, false, 64, run_shared<bf16, k, k, 64>},
    {WgmmaVariant::bf16, false, true, false, 8, run_shared<bf16, mn, k, 8>},
    {WgmmaVariant::bf16, false, false, true, 128, run_shared<bf16, k, mn, 128>},
    {WgmmaVariant::f16, false, true, true, 64, run_shared<f16, mn, mn, 64>},
    {WgmmaVariant::f16, false, false, false, 256, run_shared<f16, k, k, 256>},
    {WgmmaVariant::tf32, false, false, false, 96, run_shared<float, k, k, 96>},
    {WgmmaVariant::bf16, true, false, false, 24, run_registers<bf16, k, 24>},
    {WgmmaVariant::bf16, true, false, true, 64, run_registers<bf16, mn, 64>},
    {WgmmaVariant::f16, true, false, true, 192, run_registers<f16, mn, 192>},
    {WgmmaVariant::tf32, true, false, false, 40, run_registers<float, k, 40>},
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conformance_wgmma

namespace kinema::test {

namespace device = kernels::device::conformance_wgmma;

const WgmmaConformance KERNELS_DEVICE(wgmma_conformance) = {
    .variants = device::variants,
    .count = int(sizeof device::variants / sizeof device::variants[0]),
    .groups = device::groups,
    .reading = {device::read_by<device::k>, device::read_by<device::mn>}};

}  // namespace kinema::test
