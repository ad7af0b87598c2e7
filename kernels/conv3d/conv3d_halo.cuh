#pragma once
#include <bit>
#include "kernels/conv3d/conv3d_epilogue.cuh"
#include "kernels/conv3d/conv3d_halo.h"
#include "kernels/conv3d/conv3d_halo_product.cuh"
#include "kernels/conv3d/conv3d_plan.h"
#include "kernels/device/launch.h"
#include "kernels/device/mbarrier.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// Stores a box's sums, 32 columns at a time by way of `memory`, which nobody reads any more.
template <class Product, class Finish>
KERNELS_INLINE void finish_box(const HaloProblem& p, const HaloTile& tile, Product& product,
                               char* memory, const Finish& finish) {
  ResultTile result(memory, halo_finish_columns, p.rows);
  int size[3];
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int rest = p.results[i] - tile.at[i];
    size[i] = rest < 1 << p.bits[i] ? rest : 1 << p.bits[i];
  }
  result.rows = size[0] * size[1] * size[2];
  result.entry = tile.box;
  __syncthreads();
  for (int row = int(threadIdx.x); row < p.rows; row += halo_threads) {
    int at[3];
    const int place = row_among(p, size, row, at);
    const int64_t frame = tile.image * p.results[0] + tile.at[0] + at[0];
    if (place >= 0)
      result.pixels[place] =
          (frame * p.results[1] + tile.at[1] + at[1]) * p.results[2] + tile.at[2] + at[2];
  }
  for (int warp = 0; warp < product.across(); ++warp)
    for (int part = 0; part * halo_finish_columns < Product::columns; ++part) {
      const int first = tile.column + warp * Product::columns;
      result.channel = first + part * halo_finish_columns;
      result.end =
          int(p.columns) < first + Product::columns ? int(p.columns) : first + Product::columns;
      if (warp + part > 0) __syncthreads();
      product.take(p, size, warp, part, result.sums);
      __syncthreads();
      if (result.channel < result.end) finish(result);
    }
}

/// Columns of a tile that are there, in eights.
KERNELS_INLINE int groups_of(const HaloProblem& p, int64_t tile) {
  const int64_t rest = p.columns - p.column_tiles.remainder(tile) * p.tile_columns;
  return int(rest < p.tile_columns ? rest + 7 : p.tile_columns) / 8;
}

/// The kernels: `source` x or dy, its channels summed over; `weights` as they are stored.
template <class T, int J, Major M, class Finish>
KERNELS_INLINE void halo(const HaloProblem& p, const T* source, const T* weights,
                         const Finish& finish) {
  // Memory: copies of the halo, stages of weights.
  const SharedTiles shared;
  const auto stage_at = [&](const HaloTurn& turn) {
    return uint32_t(p.buffers * p.buffer_bytes + turn.place * p.stage_bytes);
  };
  // Barriers: all threads copy, and all wait.
  KERNELS_SHARED(uint64_t, barriers, halo_most_buffers + halo_most_stages);
  const uint32_t halo_there = shared_address(barriers);
  const uint32_t weights_there = halo_there + halo_most_buffers * 8;
  if (threadIdx.x < halo_most_buffers + halo_most_stages)
    mbarrier_init(halo_there + threadIdx.x * 8, halo_threads);
  __syncthreads();

  HaloStep now{.tile = int64_t(blockIdx.x)}, next_halo = now, next_weights = now;
  HaloTurn buffer, stage, free_buffer, free_stage;
  const auto copy_halo = [&] {
    if (next_halo.tile >= p.tiles) return;
    load_halo<T>(p, source, halo_tile(p, next_halo.tile), next_halo.chunk,
                 shared.address + uint32_t(free_buffer.place * p.buffer_bytes));
    cp_async_arrive(halo_there + uint32_t(free_buffer.place) * 8);
    free_buffer.next(p.buffers);
    next_halo.next_chunk(p);
  };
  const auto copy_weights = [&] {
    if (next_weights.tile >= p.tiles) return;
    const int column = int(p.column_tiles.remainder(next_weights.tile)) * p.tile_columns;
    load_weights<T, M>(p, weights, next_weights, column, shared, stage_at(free_stage));
    cp_async_arrive(weights_there + uint32_t(free_stage.place) * 8);
    free_stage.next(p.stages);
    next_weights.next(p);
  };

  for (int i = 1; i < p.buffers; ++i) copy_halo();
  for (int i = 1; i < p.stages; ++i) copy_weights();
  HaloProduct<T, J, M> product(p);
  while (now.tile < p.tiles) {
    // What the step before has read is free.
    __syncthreads();
    const bool begins = now.begins_chunk();
    if (begins) copy_halo();
    copy_weights();
    if (begins) mbarrier_wait(halo_there + uint32_t(buffer.place) * 8, buffer.parity);
    mbarrier_wait(weights_there + uint32_t(stage.place) * 8, stage.parity);
    const uint32_t rows = uint32_t(buffer.place * p.buffer_bytes);
    const int depths = depths_of<T>(p, now.chunk);
    const int shift = now.tap[0] * p.shift[0] + now.tap[1] * p.shift[1] + now.tap[2] * p.shift[2];
    if constexpr (J > 4)
      product.multiply(shared, rows, stage_at(stage), shift, depths);
    else
      product.multiply_window(p, shared, rows, stage_at(stage), shift, depths,
                              groups_of(p, now.tile));
    stage.next(p.stages);
    const int64_t tile = now.tile;
    const bool ends_tile = now.next(p);
    if (ends_tile) finish_box(p, halo_tile(p, tile), product, shared.memory + rows, finish);
    if (now.begins_chunk()) buffer.next(p.buffers);
  }
}

/// `source` x or dy, `result` y or dx.
inline HaloProblem halo_problem(Conv3dPass pass, const Conv3dPlan& plan, const Conv3dOptions& o,
                                const View& source, const View& w, const View& result) {
  const bool forward = pass == Conv3dPass::forward;
  const Conv3dHalo halo = forward ? conv3d_halo(pass, o, source.shape, w.shape, result.shape)
                                  : conv3d_halo(pass, o, result.shape, w.shape, source.shape);
  const Conv3dHaloWindow window = conv3d_halo_window(halo, plan.box, plan.columns);
  const int64_t size = size_of(source.dtype), lanes = halo_row_bytes / size;
  HaloProblem p{};
  int64_t boxes[3];
  for (int i = 0; i < 3; ++i) {
    const Conv3dHaloAxis& a = halo.axis[i];
    const int box = plan.box[size_t(i)];
    boxes[i] = (a.results + box - 1) / box;
    p.results[i] = a.results;
    p.sources[i] = a.sources;
    p.first[i] = a.first;
    p.bits[i] = std::countr_zero(unsigned(box));
    p.extent[i] = halo.extent(i, box);
    p.taps[i] = a.taps;
    p.tap_stride[i] = a.filter_step * w.stride(i + 1);
    p.first_weight += a.filter_first * w.stride(i + 1);
    p.source_stride[i + 1] = source.stride(i + 1);
  }
  p.source_stride[0] = source.stride(0);
  // Where h and w are one axis, its step is that of w, unless a row is one pixel.
  if (halo.merged && source.shape[3] == 1) p.source_stride[3] = source.stride(2);
  const int rows_of[] = {p.extent[1] * p.extent[2], p.extent[2], 1};
  for (int i = 0; i < 3; ++i) p.shift[i] = rows_of[i] * halo.axis[i].dilation;
  p.window = window.taps;
  p.window_shift = p.shift[window.axis];
  p.window_stride = p.tap_stride[window.axis];
  if (window.taps > 1) p.taps[window.axis] = 1;
  p.weight_stride = w.stride(0);
  p.depth = halo.depth;
  p.columns = halo.columns;
  p.tiles = plan.tiles;
  p.chunks = int((p.depth + lanes - 1) / lanes);
  p.halo_rows = p.extent[0] * p.extent[1] * p.extent[2];
  p.rows = plan.rows;
  p.tile_columns = plan.columns;
  p.buffers = plan.buffers;
  p.stages = plan.stages;
  p.tap_bytes =
      int(forward ? plan.columns : round_up(plan.columns, lanes) / lanes * lanes) * halo_row_bytes;
  p.stage_bytes = p.window * p.tap_bytes;
  p.buffer_bytes = int((plan.shared_bytes - 1024 - plan.stages * p.stage_bytes) / plan.buffers);
  p.extent_h = SmallDivisor(p.extent[1]);
  p.extent_w = SmallDivisor(p.extent[2]);
  p.column_tiles = FastDivisor((p.columns + plan.columns - 1) / plan.columns);
  p.boxes_t = FastDivisor(boxes[0]);
  p.boxes_h = FastDivisor(boxes[1]);
  p.boxes_w = FastDivisor(boxes[2]);
  return p;
}

/// As many blocks as run at once take all boxes in turn.
inline Geometry halo_geometry(const Conv3dPlan& plan) {
  const int64_t room = gpu().shared_per_multiprocessor / (plan.shared_bytes + 1024);
  const int64_t resident = std::clamp<int64_t>(room, 1, halo_blocks);
  return {.grid = dim3(unsigned(std::min(plan.tiles, resident * gpu().multiprocessors))),
          .block = dim3(halo_threads),
          .shared_bytes = plan.shared_bytes};
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
