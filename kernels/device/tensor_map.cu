#include <algorithm>
#include <cstring>
#include "kernels/device/launch.h"
#include "kernels/device/tensor_map.h"
#if KERNELS_CUDA
#include <cuda.h>
#else
#include "kernels/device/emulation/tensor_map.h"
#endif

namespace kinema::kernels::device::inline KERNELS_TWIN {

namespace {

/// What both kinds of map share. `inner`: elements of a tile's row.
template <class Tensor>
void check_tensor(const Tensor& t, int least_rank, int inner) {
  check(gpu().compute_capability >= 90, "tensor map: expected compute capability 9.0, got ",
        gpu().name, " with ", gpu().compute_capability / 10, ".", gpu().compute_capability % 10);
  check(t.rank >= least_rank && t.rank <= 5, "tensor map: expected rank ", least_rank,
        " to 5, got ", t.rank);
  check(t.data && reinterpret_cast<uintptr_t>(t.data) % 16 == 0,
        "tensor map: expected data on a multiple of 16 bytes, got ", t.data);
  for (int i = 0; i < t.rank; ++i) {
    check(t.size[i] >= 1 && t.size[i] <= int64_t(1) << 32,
          "tensor map: expected sizes from 1 to 2^32, got ", t.size[i], " of axis ", i);
    if (i == 0) continue;
    check(t.stride[i] % 16 == 0 && t.stride[i] >= 0 && t.stride[i] < int64_t(1) << 40,
          "tensor map: expected strides in multiples of 16 bytes below 2^40, got ", t.stride[i],
          " of axis ", i);
    check(t.step[i] >= 1 && t.step[i] <= 8, "tensor map: expected steps from 1 to 8, got ",
          t.step[i], " of axis ", i);
  }
  const int64_t bytes = inner * size_of(t.type);
  check(bytes % 16 == 0, "tensor map: expected a tile's rows in multiples of 16 bytes, got ",
        bytes);
  check(t.swizzle == Swizzle::none || bytes <= span_of(t.swizzle),
        "tensor map: expected rows of at most ", span_of(t.swizzle),
        " bytes, the span of the swizzle, got ", bytes);
}

void check_corner(const char* name, int value, int rank) {
  const int limit = rank == 3 ? 32768 : rank == 4 ? 128 : 16;
  check(value >= -limit && value < limit, "tensor map: expected ", name, " corners of rank ", rank,
        " from ", -limit, " to ", limit - 1, ", got ", value);
}

void check_map(const TiledTensor& t) {
  check_tensor(t, 1, t.box[0]);
  for (int i = 0; i < t.rank; ++i)
    check(t.box[i] >= 1 && t.box[i] <= 256, "tensor map: expected boxes of 1 to 256, got ",
          t.box[i], " along axis ", i);
}

void check_map(const Im2colTensor& t) {
  check_tensor(t, 3, t.channels);
  check(t.channels >= 1 && t.channels <= 256, "tensor map: expected 1 to 256 channels, got ",
        t.channels);
  check(t.pixels >= 1 && t.pixels <= 1024, "tensor map: expected 1 to 1024 pixels, got ", t.pixels);
  for (int i = 0; i < t.rank - 2; ++i) {
    check_corner("lower", t.lower[i], t.rank);
    check_corner("upper", t.upper[i], t.rank);
    const int64_t extent = t.size[i + 1] + t.upper[i] - t.lower[i];
    check(extent >= 1, "tensor map: expected a bounding box that is not empty, got ", extent,
          " along axis ", i + 1);
  }
}

#if KERNELS_CUDA

/// The driver's function of that name, found by the runtime: nothing links against the driver.
template <class F>
F driver_function(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  check_cuda(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found),
             "tensor map");
  check(found == cudaDriverEntryPointSuccess && function,
        "tensor map: expected a driver of CUDA 12 or later, got one without ", name);
  return reinterpret_cast<F>(function);
}

CUtensorMapDataType driver_type(Dtype type) {
  switch (type) {
    case Dtype::f32:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    case Dtype::f64:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT64;
    case Dtype::u8:
      return CU_TENSOR_MAP_DATA_TYPE_UINT8;
    case Dtype::i32:
      return CU_TENSOR_MAP_DATA_TYPE_INT32;
    case Dtype::i64:
      return CU_TENSOR_MAP_DATA_TYPE_INT64;
    case Dtype::bf16:
      return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case Dtype::f16:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  }
  fail("tensor map: unknown type");
}

/// The arguments that both functions of the driver take.
struct Arguments {
  TensorMap map{};
  cuuint64_t size[5], stride[4];
  cuuint32_t step[5];

  template <class Tensor>
  explicit Arguments(const Tensor& t) {
    for (int i = 0; i < t.rank; ++i) {
      size[i] = cuuint64_t(t.size[i]);
      step[i] = i ? cuuint32_t(t.step[i]) : 1;
      if (i) stride[i - 1] = cuuint64_t(t.stride[i]);
    }
  }
  CUtensorMap* driver_map() { return reinterpret_cast<CUtensorMap*>(&map); }
};
static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));

TensorMap encode(const TiledTensor& t) {
  static const auto function =
      driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  Arguments a(t);
  cuuint32_t box[5];
  for (int i = 0; i < t.rank; ++i) box[i] = cuuint32_t(t.box[i]);
  const CUresult result = function(
      a.driver_map(), driver_type(t.type), cuuint32_t(t.rank), const_cast<void*>(t.data), a.size,
      a.stride, box, a.step, CU_TENSOR_MAP_INTERLEAVE_NONE, CUtensorMapSwizzle(t.swizzle),
      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(result == CUDA_SUCCESS, "tensor map: the driver refuses a tiled map, error ", int(result));
  return a.map;
}

TensorMap encode(const Im2colTensor& t) {
  static const auto function =
      driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  Arguments a(t);
  const CUresult result =
      function(a.driver_map(), driver_type(t.type), cuuint32_t(t.rank), const_cast<void*>(t.data),
               a.size, a.stride, t.lower, t.upper, cuuint32_t(t.channels), cuuint32_t(t.pixels),
               a.step, CU_TENSOR_MAP_INTERLEAVE_NONE, CUtensorMapSwizzle(t.swizzle),
               CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(result == CUDA_SUCCESS, "tensor map: the driver refuses an im2col map, error ",
        int(result));
  return a.map;
}

#else

template <class Tensor>
emulation::EncodedMap encoded(const Tensor& t) {
  emulation::EncodedMap map{};
  map.mark = emulation::map_mark;
  map.data = static_cast<char*>(const_cast<void*>(t.data));
  for (int i = 0; i < t.rank; ++i) {
    map.stride[i] = i ? t.stride[i] : size_of(t.type);
    map.last[i] = uint32_t(t.size[i] - 1);
    map.step[i] = uint8_t(i ? t.step[i] : 1);
  }
  std::fill_n(map.box, 5, uint16_t(1));
  map.rank = uint8_t(t.rank);
  map.span = uint8_t(span_of(t.swizzle));
  map.type = t.type;
  return map;
}

TensorMap words_of(const emulation::EncodedMap& map) {
  static_assert(sizeof map <= sizeof(TensorMap));
  TensorMap words{};
  std::memcpy(&words, &map, sizeof map);
  return words;
}

TensorMap encode(const TiledTensor& t) {
  emulation::EncodedMap map = encoded(t);
  for (int i = 0; i < t.rank; ++i) map.box[i] = uint16_t(t.box[i]);
  return words_of(map);
}

TensorMap encode(const Im2colTensor& t) {
  emulation::EncodedMap map = encoded(t);
  map.box[0] = uint16_t(t.channels);
  map.pixels = uint16_t(t.pixels);
  for (int i = 0; i < 3; ++i) {
    map.lower[i] = int16_t(t.lower[i]);
    map.upper[i] = int16_t(t.upper[i]);
  }
  return words_of(map);
}

#endif

}  // namespace

TensorMap tensor_map(const TiledTensor& t) {
  check_map(t);
  return encode(t);
}

TensorMap tensor_map(const Im2colTensor& t) {
  check_map(t);
  return encode(t);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
