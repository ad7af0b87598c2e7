#pragma once
#include "kernels/conv3d/conv3d_epilogue.cuh"
#include "kernels/conv3d/conv3d_stem.cuh"
#include "kernels/device/mma.h"

// What both forward kernels of stems share: the filters in shared memory, the product of a slab
// with them, and what becomes of its sums.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::stem {

/// Where a word of a stage's depth lies in a slab, from run_of() on, and which bits of what is read
/// there count: the rest are a neighbour's, which need not even be a number.
struct Word {
  int offset;
  uint32_t mask;
};

/// Of word `i` of a stage: its frame and row of the filter, and its first element in the run as w
/// holds it, -1 where the run has a zero before.
struct WordPlace {
  int frame, row, element;
  bool inside;
};
template <class T>
KERNELS_INLINE WordPlace place_of_word(const Frames<T>& x, int i) {
  constexpr int lanes = 4 / sizeof(T);
  const int run_words = x.stem.run / lanes, run = i / run_words;
  const int frame = run / x.filter_rows;
  return {frame, run - frame * x.filter_rows, (i - run * run_words) * lanes - x.stem.shift,
          frame < x.stem.taps};
}
/// Bits of a word from `element` of the run on that lie in it.
template <class T>
KERNELS_INLINE uint32_t mask_of_word(const WordPlace& p, int run_elements) {
  if (!p.inside) return 0;
  if constexpr (sizeof(T) == 4) return 0xffffffffu;
  return (p.element >= 0 ? 0xffffu : 0u) | (p.element + 1 < run_elements ? 0xffff0000u : 0u);
}

template <class T>
KERNELS_INLINE void make_words(const Frames<T>& x, int run_elements, Word* words) {
  const Conv3dStem& s = x.stem;
  for (int i = int(threadIdx.x); i < s.words; i += int(blockDim.x)) {
    const WordPlace p = place_of_word(x, i);
    const int frame_bytes = s.slab_rows * s.row_bytes;
    words[i] = {p.inside ? p.frame * frame_bytes + p.row * x.dilation_h * s.row_bytes +
                               (p.element + s.shift) * int(sizeof(T))
                         : 0,
                mask_of_word<T>(p, run_elements)};
  }
}

/// Row by row what source(row) gives: where a filter begins in w, or nullptr for zeros; in shared
/// memory [Rows][stages][words]. TF32 is rounded here.
template <class Product, int Rows, class T, class Source>
KERNELS_INLINE void load_filters(const Frames<T>& x, const Filters<T>& w, char* to,
                                 const Source& source) {
  const Conv3dStem& s = x.stem;
  const int lane = int(threadIdx.x % 32), warp = int(threadIdx.x / 32);
  const int warps = int(blockDim.x / 32);
  for (int i = lane; i < s.stages * s.words; i += 32) {
    const int stage = i / s.words;
    const WordPlace p = place_of_word(x, i - stage * s.words);
    const int frame = stage * s.taps + p.frame;
    const uint32_t mask = frame < x.filter_frames ? mask_of_word<T>(p, w.run) : 0;
    const int64_t offset = frame * w.stride[1] + p.row * w.stride[2] + p.element;
#pragma unroll 4
    for (int row = warp; row < Rows; row += warps) {
      const T* const from = source(row);
      uint32_t word = 0;
      if constexpr (sizeof(T) == 4) {
        const float v = from && mask ? from[offset] : 0.f;
        word = std::is_same_v<Product, Exact> ? __float_as_uint(v) : tf32_register_of(v);
      } else {
        if (from && mask & 0xffffu) word = from[offset].bits;
        if (from && mask >> 16) word |= uint32_t(from[offset + 1].bits) << 16;
      }
      *reinterpret_cast<uint32_t*>(to + row * s.pitch_bytes + i * 4) = word;
    }
  }
}

/// A word of a slab; 16-bit elements may begin in the middle of one.
KERNELS_INLINE uint32_t slab_word(const char* slab, int offset, bool odd) {
  if (!odd) return *reinterpret_cast<const uint32_t*>(slab + offset);
  const auto* words = reinterpret_cast<const uint32_t*>(slab + (offset & ~3));
  return uint32_t((uint64_t(words[1]) << 32 | words[0]) >> (offset & 2) * 8);
}

/// What a warp multiplies: its 32 pixels, whose rows are those of two fragments, and all filters.
struct Operands {
  template <class T>
  KERNELS_INLINE Operands(const Frames<T>& x, const Word* words_)
      : words(words_),
        slab(nullptr),
        filters(nullptr),
        pitch_bytes(x.stem.pitch_bytes),
        count(x.stem.words),
        odd(x.stem.odd) {
    const int p = int(threadIdx.x) / 32 * 32 + int(threadIdx.x) % 32 / 4;
#pragma unroll
    for (int r = 0; r < 4; ++r) run[r] = x.run_of(p + r * 8);
  }
  const Word* words;
  const char *slab, *filters;
  int pitch_bytes, count;
  bool odd;
  int run[4];  ///< of pixels lane/4, + 8, + 16, + 24 of the warp
};

/// sums += products over a stage, by tensor cores, in the layout of mma's d.
template <class Product, int Columns>
KERNELS_INLINE void multiply_stage(const Operands& o, float (&sums)[2][Columns / 8][4]) {
  const int lane = int(threadIdx.x % 32);
  const uint32_t filters =
      shared_address(o.filters) + uint32_t(lane % 8 * o.pitch_bytes + lane / 8 % 2 * 16);
  const uint32_t pair = uint32_t(8 * o.pitch_bytes);
  for (int word = 0; word < o.count; word += 8) {
    uint32_t a[2][4], b[Columns / 8][2];
#pragma unroll
    for (int q = 0; q < 2; ++q) {
      const Word at = o.words[word + lane % 4 + 4 * q];
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const uint32_t v = slab_word(o.slab, o.run[r] + at.offset, o.odd) & at.mask;
        a[r / 2][r % 2 + 2 * q] = sizeof(Product) == 4 ? tf32_register_of(__uint_as_float(v)) : v;
      }
    }
#pragma unroll
    for (int j = 0; j + 1 < Columns / 8; j += 2) {
      uint32_t two[4];
      ldmatrix(two, filters + (uint32_t(j) + uint32_t(lane / 16)) * pair + uint32_t(word) * 4);
#pragma unroll
      for (int i = 0; i < 4; ++i) b[j + i / 2][i % 2] = two[i];
    }
    if constexpr (Columns / 8 % 2)
      ldmatrix(b[Columns / 8 - 1], filters + uint32_t(Columns / 8 - 1) * pair + uint32_t(word) * 4);
    mma_tile<Product>(sums, a, b);
  }
}

/// The same by FMA.
template <int Columns>
KERNELS_INLINE void multiply_stage_exact(const Operands& o, float (&sums)[2][Columns / 8][4]) {
  const int lane = int(threadIdx.x % 32);
  const char* const filters = o.filters + lane % 4 * 2 * o.pitch_bytes;
  for (int word = 0; word < o.count; word += 2) {
    float a[4][2];
#pragma unroll
    for (int d = 0; d < 2; ++d) {
      const Word at = o.words[word + d];
#pragma unroll
      for (int r = 0; r < 4; ++r)
        a[r][d] = __uint_as_float(slab_word(o.slab, o.run[r] + at.offset, false) & at.mask);
    }
#pragma unroll
    for (int c = 0; c < Columns / 4; ++c) {
      const auto b = load_pack<2>(
          reinterpret_cast<const float*>(filters + (c / 2 * 8 + c % 2) * o.pitch_bytes + word * 4));
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        float& sum = sums[r / 2][c / 2][r % 2 * 2 + c % 2];
#pragma unroll
        for (int d = 0; d < 2; ++d) sum += a[r][d] * b.lane[d];
      }
    }
  }
}

template <class Product, int Columns>
KERNELS_INLINE void multiply(const Operands& o, float (&sums)[2][Columns / 8][4]) {
  if constexpr (std::is_same_v<Product, Exact>)
    multiply_stage_exact<Columns>(o, sums);
  else
    multiply_stage<Product, Columns>(o, sums);
}

/// A block's memory: the table of words, filters, slabs, and results on their way.
struct ForwardMemory {
  KERNELS_INLINE ForwardMemory(const Conv3dStem& s, int rows, int columns)
      : words(reinterpret_cast<Word*>(dynamic_shared<char>())),
        filters(reinterpret_cast<char*>(words + s.words)),
        slabs(filters + rows * s.pitch_bytes),
        result(slabs + conv3d_stem_slabs * s.slab_bytes, columns, conv3d_stem_pixels,
               conv3d_stem_pixels) {}
  Word* words;
  char *filters, *slabs;
  ResultTile result;
};

/// Pixels of y.
struct ForwardImage {
  explicit ForwardImage(const View& y)
      : frames(int(y.shape[1])), height(int(y.shape[2])), width(int(y.shape[3])) {}
  int frames, height, width;
  KERNELS_INLINE int64_t pixel(const Tile& tile, int h, int w) const {
    return ((tile.n * int64_t(frames) + tile.t) * height + h) * width + w;
  }
};

/// As many blocks as run at once, for each of `columns` runs of filters.
inline Geometry forward_geometry(const Conv3dPlan& plan, const Conv3dStem& s, int64_t columns) {
  const int64_t fit = gpu().shared_per_multiprocessor / (plan.shared_bytes + 1024);
  const int64_t at_once = gpu().multiprocessors * (fit > 1 ? 2 : 1);
  const int64_t blocks = std::clamp<int64_t>(at_once / columns, 1, s.tiles);
  return {.grid = dim3(unsigned(blocks), unsigned(columns)),
          .block = conv3d_stem_pixels,
          .shared_bytes = plan.shared_bytes};
}

/// Brings a tile's sums through the epilogue, some columns after the others. Its pixels that are in
/// the image are numbered row by row.
template <int Columns, class T>
KERNELS_INLINE void finish_tile(const Frames<T>& x, const ForwardFinish<T>& finish,
                                const ForwardImage& y, const Tile& tile, int first_channel,
                                ResultTile& result, const float (&sums)[2][Columns / 8][4]) {
  constexpr int finished = Columns < conv3d_stem_finish ? Columns : conv3d_stem_finish;
  const int lane = int(threadIdx.x) % 32, tile_w = x.stem.tile_w;
  const int width = y.width - tile.w < tile_w ? y.width - tile.w : tile_w;
  const int height = y.height - tile.h < x.stem.tile_h ? y.height - tile.h : x.stem.tile_h;
  result.rows = height * width;
#pragma unroll
  for (int from = 0; from < Columns; from += finished) {
    __syncthreads();
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int p = int(threadIdx.x) / 32 * 32 + r * 8 + lane / 4, h = p / tile_w, w = p % tile_w;
      if (h >= height || w >= width) continue;
      const int row = h * width + w;
      if (lane % 4 == 0) result.pixels[row] = y.pixel(tile, tile.h + h, tile.w + w);
#pragma unroll
      for (int j = 0; j < finished / 8; ++j) {
        const float* const sum = sums[r / 2][from / 8 + j] + r % 2 * 2;
        store_pack<2>(result.sums.at(row, j * 8 + lane % 4 * 2), Pack<float, 2>{{sum[0], sum[1]}});
      }
    }
    result.channel = first_channel + from;
    __syncthreads();
    finish(result);
  }
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::stem
