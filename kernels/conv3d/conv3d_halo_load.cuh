#pragma once
#include "kernels/conv3d/conv3d_tile.cuh"

// Stride 1, one group, taps > 1, tensor cores. A block makes boxes of pixels, one after the other:
// for each 128 bytes of channels it reads a box's sources with their halo into shared memory, once,
// a row of 128 bytes a pixel; the filter's taps stream through a ring of stages. A tap's operand is
// the same rows, shifted: ldmatrix takes any eight rows, and those of a fragment are neighbours
// along w, hence in different banks. Copies tell mbarriers, since halo and weights keep different
// time.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

inline constexpr int halo_threads = 128, halo_row_bytes = 128, halo_warp_rows = 64;
inline constexpr int halo_most_buffers = 2, halo_most_stages = 8, halo_most_columns = 128;
inline constexpr int halo_blocks = 2;           ///< of a multiprocessor
inline constexpr int halo_finish_columns = 32;  ///< that the epilogue takes at a time

/// What the kernels of halo are told. Triples are of t, h, w.
struct HaloProblem {
  int results[3], sources[3], first[3];  ///< see Conv3dHaloAxis
  int bits[3], extent[3];    ///< a box has 1 << bits pixels along an axis, with halo extent
  int taps[3], shift[3];     ///< steps of a box and chunk; how many rows further each reads
  int window, window_shift;  ///< taps of a step, which lie on one axis; see multiply_window
  int64_t tap_stride[3], window_stride, first_weight;  ///< of weights, in elements
  int64_t source_stride[4], weight_stride;
  int64_t depth, columns, tiles;
  int chunks, halo_rows, rows, tile_columns, buffers, stages;
  int buffer_bytes, stage_bytes, tap_bytes;  ///< of shared memory
  SmallDivisor extent_h, extent_w;
  FastDivisor column_tiles, boxes_t, boxes_h, boxes_w;
};

/// A box and a run of columns.
struct HaloTile {
  int column;
  int64_t box, image;
  int at[3];  ///< the first pixel
};
KERNELS_INLINE HaloTile halo_tile(const HaloProblem& p, int64_t tile) {
  const int64_t box = p.column_tiles.quotient(tile);
  const int64_t row = p.boxes_w.quotient(box), frame = p.boxes_h.quotient(row);
  const int64_t image = p.boxes_t.quotient(frame);
  return {int(tile - box * p.column_tiles.divisor()) * p.tile_columns,
          box,
          image,
          {int(frame - image * p.boxes_t.divisor()) << p.bits[0],
           int(row - frame * p.boxes_h.divisor()) << p.bits[1],
           int(box - row * p.boxes_w.divisor()) << p.bits[2]}};
}
/// Where pixel `row` of a box lies in it, along t, h and w.
KERNELS_INLINE void place_in_box(const HaloProblem& p, int row, int (&at)[3]) {
  at[2] = row & ((1 << p.bits[2]) - 1);
  at[1] = row >> p.bits[2] & ((1 << p.bits[1]) - 1);
  at[0] = row >> (p.bits[2] + p.bits[1]);
}

/// The place of pixel `row` of a box, which lies at `at` in it, among those within `size`; -1 if it
/// is none of them.
KERNELS_INLINE int row_among(const HaloProblem& p, const int (&size)[3], int row, int (&at)[3]) {
  place_in_box(p, row, at);
  const bool there = at[0] < size[0] && at[1] < size[1] && at[2] < size[2];
  return there ? (at[0] * size[1] + at[1]) * size[2] + at[2] : -1;
}

/// A step of a block: some taps of a chunk of channels of a tile.
struct HaloStep {
  int64_t tile;
  int chunk = 0, tap[3] = {};

  KERNELS_INLINE bool begins_chunk() const { return (tap[0] | tap[1] | tap[2]) == 0; }
  /// True behind the last step of a tile.
  KERNELS_INLINE bool next(const HaloProblem& p) {
    if (++tap[2] < p.taps[2]) return false;
    tap[2] = 0;
    if (++tap[1] < p.taps[1]) return false;
    tap[1] = 0;
    if (++tap[0] < p.taps[0]) return false;
    tap[0] = 0;
    return next_chunk(p);
  }
  KERNELS_INLINE bool next_chunk(const HaloProblem& p) {
    if (++chunk < p.chunks) return false;
    chunk = 0;
    tile += gridDim.x;
    return true;
  }
};

/// A turn of a ring: its place, and the parity of the phase in which it is filled.
struct HaloTurn {
  int place = 0;
  uint32_t parity = 0;
  KERNELS_INLINE void next(int places) {
    if (++place < places) return;
    place = 0;
    parity ^= 1;
  }
};

/// Bytes, up to 16, of the lanes from `first` on that are below `count`.
template <class T>
KERNELS_INLINE int bytes_below(int64_t first, int64_t count) {
  const int64_t bytes = (count - first) * int(sizeof(T));
  return int(bytes < 0 ? 0 : bytes < 16 ? bytes : 16);
}
/// Products of 32 bytes of channels each that a chunk takes.
template <class T>
KERNELS_INLINE int depths_of(const HaloProblem& p, int chunk) {
  const int64_t bytes = p.depth * int(sizeof(T)) - int64_t(chunk) * halo_row_bytes;
  return bytes >= halo_row_bytes ? 4 : int(bytes + 31) / 32;
}

/// Begins to copy the sources of a box, 16 bytes a thread and round; zeros outside of the tensor
/// and behind the last channel.
template <class T>
KERNELS_INLINE void load_halo(const HaloProblem& p, const T* source, const HaloTile& tile,
                              int chunk, uint32_t buffer) {
  const int part = int(threadIdx.x % 8);
  if (part >= 2 * depths_of<T>(p, chunk)) return;
  const int64_t channel = int64_t(chunk) * (halo_row_bytes / int(sizeof(T))) + part * pack_lanes<T>;
  const int bytes = bytes_below<T>(channel, p.depth);
  const T* from = source + tile.image * p.source_stride[0] + channel;
  for (int row = int(threadIdx.x / 8); row < p.halo_rows; row += halo_threads / 8) {
    const int line = p.extent_w.quotient(row), frame = p.extent_h.quotient(line);
    const int t = tile.at[0] + p.first[0] + frame;
    const int h = tile.at[1] + p.first[1] + line - frame * p.extent[1];
    const int w = tile.at[2] + p.first[2] + row - line * p.extent[2];
    const bool inside = unsigned(t) < unsigned(p.sources[0]) &&
                        unsigned(h) < unsigned(p.sources[1]) &&
                        unsigned(w) < unsigned(p.sources[2]);
    const int64_t offset = t * p.source_stride[1] + h * p.source_stride[2] + w * p.source_stride[3];
    cp_async<16>(buffer + swizzled<Swizzle::bytes128>(uint32_t(row * halo_row_bytes + part * 16)),
                 inside ? from + offset : source, inside ? bytes : 0);
  }
}

/// Begins to copy the taps of a step for the tile's columns, as operands of the product.
template <class T, Major M>
KERNELS_INLINE void load_weights(const HaloProblem& p, const T* weights, const HaloStep& step,
                                 int column, const SharedTiles& shared, uint32_t stage) {
  using Tile = OperandTile<T, halo_most_columns, M>;
  const int chunk = int(threadIdx.x % 8), across = chunk * pack_lanes<T>;
  const int depth = step.chunk * stage_depth<T>;
  const int depths = depths_of<T>(p, step.chunk) * (32 / int(sizeof(T)));
  const int lines = p.tile_columns;
  weights += p.first_weight + step.tap[0] * p.tap_stride[0] + step.tap[1] * p.tap_stride[1] +
             step.tap[2] * p.tap_stride[2];
  const auto copy = [&](int row, int line, int d, int64_t offset, int bytes) {
    const bool there = column + line < p.columns && depth + d < p.depth;
    for (int tap = 0; tap < p.window; ++tap) {
      const T* const from = weights + tap * p.window_stride + offset;
      cp_async<16>(shared.address + stage + uint32_t(tap * p.tap_bytes) +
                       Tile::place(uint32_t(row), uint32_t(chunk)),
                   there ? from : weights, there ? bytes : 0);
    }
  };
  if constexpr (M == Major::depth) {
    if (across >= depths) return;
    for (int row = int(threadIdx.x / 8); row < lines; row += halo_threads / 8)
      copy(row, row, across, (column + row) * p.weight_stride + depth + across,
           bytes_below<T>(depth + across, p.depth));
  } else {
    for (int line = across; line < lines; line += Tile::row_elements)
      for (int d = int(threadIdx.x / 8); d < depths; d += halo_threads / 8)
        copy(line / Tile::row_elements * stage_depth<T> + d, line, d,
             (depth + d) * p.weight_stride + column + line,
             bytes_below<T>(column + line, p.columns));
  }
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
