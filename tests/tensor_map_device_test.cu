#include "kernels/base/error.h"
#include "kernels/device/tensor_map.h"
#include "tests/tensor_map_device_test.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::tensor_map_test {

/// 64 rows of 32 elements.
TiledTensor tiled(void* memory) {
  return {.data = memory,
          .type = Dtype::bf16,
          .rank = 2,
          .size = {32, 64},
          .stride = {0, 64},
          .box = {32, 8},
          .swizzle = Swizzle::bytes64};
}
/// Frames of 4 x 4 pixels of 32 channels.
Im2colTensor im2col(void* memory, int rank) {
  Im2colTensor t{.data = memory,
                 .type = Dtype::bf16,
                 .rank = rank,
                 .size = {32, 4, 4, 4, 4},
                 .stride = {0, 64, 256, 1024, 4096},
                 .channels = 32,
                 .pixels = 8,
                 .swizzle = Swizzle::bytes64};
  t.size[rank - 1] = 1;
  return t;
}

template <class Tensor>
std::string refusal(const Tensor& t) {
  try {
    tensor_map(t);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

template <class F>
test::MapRefusal tiled_refusal(void* memory, F change, const char* expected) {
  TiledTensor t = tiled(memory);
  change(t);
  return {refusal(t), expected};
}
template <class F>
test::MapRefusal im2col_refusal(void* memory, int rank, F change, const char* expected) {
  Im2colTensor t = im2col(memory, rank);
  change(t);
  return {refusal(t), expected};
}

std::vector<test::MapRefusal> refusals(void* m) {
  using Tiled = TiledTensor;
  using Im2col = Im2colTensor;
  char* odd = static_cast<char*>(m) + 8;
  return {
      tiled_refusal(
          m, [](Tiled& t) { t.rank = 0; }, "expected rank 1 to 5, got 0"),
      tiled_refusal(
          m, [](Tiled& t) { t.rank = 6; }, "expected rank 1 to 5, got 6"),
      tiled_refusal(
          m, [&](Tiled& t) { t.data = odd; }, "expected data on a multiple of 16 bytes"),
      tiled_refusal(
          m, [](Tiled& t) { t.data = nullptr; }, "expected data on a multiple of 16"),
      tiled_refusal(
          m, [](Tiled& t) { t.size[1] = 0; }, "expected sizes from 1 to 2^32, got 0 of axis 1"),
      tiled_refusal(
          m, [](Tiled& t) { t.size[0] = (int64_t(1) << 32) + 1; },
          "expected sizes from 1 to 2^32, got 4294967297 of axis 0"),
      tiled_refusal(
          m, [](Tiled& t) { t.stride[1] = 72; },
          "expected strides in multiples of 16 bytes below 2^40, got 72 of axis 1"),
      tiled_refusal(
          m, [](Tiled& t) { t.stride[1] = int64_t(1) << 40; },
          "expected strides in multiples of 16 bytes below 2^40, got 1099511627776"),
      tiled_refusal(
          m, [](Tiled& t) { t.stride[1] = -64; },
          "expected strides in multiples of 16 bytes below 2^40, got -64"),
      tiled_refusal(
          m, [](Tiled& t) { t.box[1] = 0; }, "expected boxes of 1 to 256, got 0"),
      tiled_refusal(
          m, [](Tiled& t) { t.box[1] = 257; }, "expected boxes of 1 to 256, got 257 along axis 1"),
      tiled_refusal(
          m, [](Tiled& t) { t.box[0] = 12; },
          "expected a tile's rows in multiples of 16 bytes, got 24"),
      tiled_refusal(
          m, [](Tiled& t) { t.box[0] = 40; },
          "expected rows of at most 64 bytes, the span of the swizzle, got 80"),
      tiled_refusal(
          m, [](Tiled& t) { t.step[1] = 0; }, "expected steps from 1 to 8, got 0"),
      tiled_refusal(
          m, [](Tiled& t) { t.step[1] = 9; }, "expected steps from 1 to 8, got 9 of axis 1"),
      im2col_refusal(
          m, 2, [](Im2col&) {}, "expected rank 3 to 5, got 2"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.lower[0] = -17; },
          "expected lower corners of rank 5 from -16 to 15, got -17"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.upper[2] = 16; },
          "expected upper corners of rank 5 from -16 to 15, got 16"),
      im2col_refusal(
          m, 4, [](Im2col& t) { t.lower[1] = 128; },
          "expected lower corners of rank 4 from -128 to 127, got 128"),
      im2col_refusal(
          m, 3, [](Im2col& t) { t.upper[0] = -32769; },
          "expected upper corners of rank 3 from -32768 to 32767, got -32769"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.upper[1] = -4; },
          "expected a bounding box that is not empty, got 0 along axis 2"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.channels = 0; }, "expected 1 to 256 channels, got 0"),
      im2col_refusal(
          m, 5,
          [](Im2col& t) {
            t.channels = 264;
            t.swizzle = Swizzle::none;
          },
          "expected 1 to 256 channels, got 264"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.channels = 64; },
          "expected rows of at most 64 bytes, the span of the swizzle, got 128"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.pixels = 0; }, "expected 1 to 1024 pixels, got 0"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.pixels = 1025; }, "expected 1 to 1024 pixels, got 1025"),
      im2col_refusal(
          m, 5, [](Im2col& t) { t.step[2] = 9; }, "expected steps from 1 to 8, got 9 of axis 2"),
  };
}

void limits(void* m) {
  TiledTensor t = tiled(m);
  t.size[0] = int64_t(1) << 32;
  t.stride[1] = (int64_t(1) << 40) - 16;
  t.box[1] = 256;
  t.step[1] = 8;
  tensor_map(t);
  for (const Swizzle swizzle :
       {Swizzle::none, Swizzle::bytes32, Swizzle::bytes64, Swizzle::bytes128}) {
    t.box[0] = swizzle == Swizzle::none ? 256 : int(span_of(swizzle)) / 2;
    t.swizzle = swizzle;
    tensor_map(t);
  }
  t.type = Dtype::u8;
  t.box[0] = 16;
  for (t.rank = 1; t.rank <= 2; ++t.rank) tensor_map(t);
  for (const int rank : {3, 4, 5}) {
    const int limit = rank == 3 ? 32768 : rank == 4 ? 128 : 16;
    Im2colTensor i = im2col(m, rank);
    i.pixels = 1024;
    i.lower[0] = -limit;
    i.upper[0] = limit - 1;
    i.step[1] = 8;
    tensor_map(i);
  }
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::tensor_map_test

namespace kinema::test {

const MapRefusals KERNELS_DEVICE(map_refusals) = kernels::device::tensor_map_test::refusals;
const MapLimits KERNELS_DEVICE(map_limits) = kernels::device::tensor_map_test::limits;

}  // namespace kinema::test
