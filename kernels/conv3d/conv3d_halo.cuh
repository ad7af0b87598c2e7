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

/// The steps of a block, and the copies that run ahead of them: of halos by p.buffers - 1 chunks,
/// of weights by p.stages - 1 steps.
template <class T, Major M>
class HaloSteps {
 public:
  /// By all threads, which all copy, and all wait for what all have copied.
  KERNELS_INLINE HaloSteps(const HaloProblem& p, const SharedTiles& shared, const T* source,
                           const T* weights)
      : p_(p), shared_(shared), source_(source), weights_(weights) {
    KERNELS_SHARED(uint64_t, barriers, halo_most_buffers + halo_most_stages);
    halo_there_ = shared_address(barriers);
    weights_there_ = halo_there_ + halo_most_buffers * 8;
    if (threadIdx.x < halo_most_buffers + halo_most_stages)
      mbarrier_init(halo_there_ + threadIdx.x * 8, halo_threads);
    __syncthreads();
    for (int i = 1; i < p.buffers; ++i) copy_halo();
    for (int i = 1; i < p.stages; ++i) copy_weights();
  }

  KERNELS_INLINE int64_t tile() const { return now_.tile; }
  /// Waits for the step's operands. What the step before has read is free, to be filled again.
  KERNELS_INLINE HaloOperands enter() {
    __syncthreads();
    const bool begins = now_.begins_chunk();
    if (begins) copy_halo();
    copy_weights();
    if (begins) mbarrier_wait(halo_there_ + uint32_t(buffer_.place) * 8, buffer_.parity);
    mbarrier_wait(weights_there_ + uint32_t(stage_.place) * 8, stage_.parity);
    return {halo_at(buffer_), stage_at(stage_),
            now_.tap[0] * p_.shift[0] + now_.tap[1] * p_.shift[1] + now_.tap[2] * p_.shift[2],
            depths_of<T>(p_, now_.chunk)};
  }
  /// To the next step: true if it is of the same tile.
  KERNELS_INLINE bool next() {
    stage_.next(p_.stages);
    const bool ends_tile = now_.next(p_);
    if (now_.begins_chunk()) buffer_.next(p_.buffers);
    return !ends_tile;
  }

 private:
  KERNELS_INLINE uint32_t halo_at(const HaloTurn& turn) const {
    return uint32_t(turn.place * p_.buffer_bytes);
  }
  KERNELS_INLINE uint32_t stage_at(const HaloTurn& turn) const {
    return uint32_t(p_.buffers * p_.buffer_bytes + turn.place * p_.stage_bytes);
  }
  KERNELS_INLINE void copy_halo() {
    if (next_halo_.tile >= p_.tiles) return;
    load_halo<T>(p_, source_, halo_tile(p_, next_halo_.tile), next_halo_.chunk,
                 shared_.address + halo_at(free_buffer_));
    cp_async_arrive(halo_there_ + uint32_t(free_buffer_.place) * 8);
    free_buffer_.next(p_.buffers);
    next_halo_.next_chunk(p_);
  }
  KERNELS_INLINE void copy_weights() {
    if (next_weights_.tile >= p_.tiles) return;
    const int column = int(p_.column_tiles.remainder(next_weights_.tile)) * p_.tile_columns;
    load_weights<T, M>(p_, weights_, next_weights_, column, shared_, stage_at(free_stage_));
    cp_async_arrive(weights_there_ + uint32_t(free_stage_.place) * 8);
    free_stage_.next(p_.stages);
    next_weights_.next(p_);
  }

  const HaloProblem& p_;
  const SharedTiles& shared_;
  const T *source_, *weights_;
  uint32_t halo_there_, weights_there_;  ///< mbarriers
  HaloStep now_{.tile = int64_t(blockIdx.x)}, next_halo_ = now_, next_weights_ = now_;
  HaloTurn buffer_, stage_, free_buffer_, free_stage_;
};

/// The kernels: `source` x or dy, its channels summed over; `weights` as they are stored.
template <class T, int J, Major M, class Finish>
KERNELS_INLINE void halo(const HaloProblem& p, const T* source, const T* weights,
                         const Finish& finish) {
  const SharedTiles shared;
  HaloSteps<T, M> steps(p, shared, source, weights);
  HaloProduct<T, J, M> product(p);
  while (steps.tile() < p.tiles) {
    const int64_t tile = steps.tile();
    const int groups = J > 4 ? J : groups_of(p, tile);
    HaloOperands at = steps.enter();
    product.begin(shared, at, groups);
    for (bool more = true; more;)
      product.multiply(p, shared, at, groups, [&](HaloOperands& next) {
        more = steps.next();
        if (more) next = steps.enter();
        return more;
      });
    finish_box(p, halo_tile(p, tile), product, shared.memory + at.halo, finish);
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
