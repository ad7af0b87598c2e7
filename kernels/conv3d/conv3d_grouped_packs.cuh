#pragma once
#include "kernels/conv3d/conv3d_grouped.cuh"
#include "kernels/device/async_copy.h"
#include "kernels/device/mma.h"

// What the kernels on packs of 8 channels share: conv3d_grouped_plan.h says what they take.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

constexpr int pack_bytes = 16, warp_tiles = conv3d_pack_pixels / 16;

/// Conv3dPackAxis as device code wants it.
struct PackAxis {
  PackAxis(const Conv3dPackAxis& a, int count_, int extent_)
      : results(a.results),
        sources(a.sources),
        phases(a.phases),
        step(a.step),
        result_step(a.result_step),
        low(a.low),
        count(count_),
        extent(extent_),
        tiles((a.results + count_ * a.result_step - 1) / (count_ * a.result_step)),
        first(a.gather[0]),
        second(a.gather[1]) {}
  KERNELS_INLINE const Conv3dGatherAxis& phase(int i) const { return i ? second : first; }
  /// Where the sources of a tile begin, relative to the tensor.
  KERNELS_INLINE int source(int tile) const { return tile * count * step + low; }
  KERNELS_INLINE int result(int tile) const { return tile * count * result_step; }

  int results, sources, phases, step, result_step, low;
  int count, extent;  ///< results of a phase, and sources, of a block
  int tiles;
  Conv3dGatherAxis first, second;
};

/// A block's work and memory.
struct PackTile {
  PackTile(const Conv3dProblem&, const Conv3dPlan&);

  /// Of column c of the sources: those that a stride takes in turn lie together.
  KERNELS_INLINE int place(int row, int c) const {
    return row * pitch + (w.step == 2 ? (c & 1) * plane + (c >> 1) : c);
  }

  PackAxis h, w;
  int results_t, sources_t, first_t, taps_t;  ///< result t reads sources from t + first_t on
  bool flip;                                  ///< the last tap comes first
  int frames, tiles_t;                        ///< results of a block along time; blocks
  int packs, packs_of_group, across, sets, stages;
  int plane, pitch, pixels;  ///< of a pack's sources in shared memory
  int stage_bytes, result_bytes, weights_at, results_at;
};

inline PackTile::PackTile(const Conv3dProblem& p, const Conv3dPlan& plan)
    : h(PackAxis({}, 1, 1)), w(PackAxis({}, 1, 1)) {
  const Conv3dPackBox box = conv3d_pack_box(p, plan);
  const Conv3dPackMemory memory = conv3d_pack_memory(p, box, plan.stages);
  const Shape y = conv3d_output(p.options, p.x, p.w);
  const bool back = p.pass == Conv3dPass::grad_input;
  h = PackAxis(box.h, box.rows(), box.source_rows());
  w = PackAxis(box.w, box.columns(), box.source_columns());
  results_t = int((back ? p.x : y)[1]);
  sources_t = int((back ? y : p.x)[1]);
  taps_t = int(p.w[1]);
  flip = back;
  first_t = int(back ? p.options.pad_front[0] - (taps_t - 1) : -p.options.pad_front[0]);
  frames = plan.box[0];
  tiles_t = (results_t + frames - 1) / frames;
  packs = box.packs;
  packs_of_group = conv3d_packs_of_group(p);
  across = box.across;
  sets = box.sets;
  stages = plan.stages;
  plane = box.plane();
  pitch = plane * box.w.step;
  pixels = int(box.source_pixels());
  stage_bytes = int(memory.stage);
  results_at = stage_bytes * stages;
  result_bytes = int(memory.results / 2);
  weights_at = int(results_at + memory.results);
}

/// The tile of a block, or of a round of one: clip, and first result and first source.
struct PackPlace {
  KERNELS_INLINE PackPlace(const PackTile& p, int tile) {
    const int rest = tile / p.w.tiles, tile_w = tile % p.w.tiles;
    const int above = rest / p.h.tiles, tile_h = rest % p.h.tiles;
    n = above / p.tiles_t;
    t = above % p.tiles_t * p.frames;
    frames = p.results_t - t < p.frames ? p.results_t - t : p.frames;
    h = p.h.result(tile_h);
    w = p.w.result(tile_w);
    source_h = p.h.source(tile_h);
    source_w = p.w.source(tile_w);
    column_h = tile_h * p.h.count;
    column_w = tile_w * p.w.count;
  }
  int n, t, frames, h, w, source_h, source_w;
  int column_h, column_w;  ///< results of a phase before the tile's
};

/// The pixels of a rectangle that a thread moves, of one pack, the same in each frame. Neighbouring
/// threads move neighbouring packs, then neighbouring pixels.
class PackShare {
 public:
  KERNELS_INLINE PackShare(int packs, int rows, int columns) : rows_(rows), columns_(columns) {
    const int lanes = int(blockDim.x) / packs, first = int(threadIdx.x) / packs;
    pack = int(threadIdx.x) % packs;
    r_ = first / columns;
    c_ = first % columns;
    step_r_ = lanes / columns;
    step_c_ = lanes % columns;
  }
  template <class F>
  KERNELS_INLINE void each(F f) const {
    for (int r = r_, c = c_; r < rows_;) {
      f(r, c);
      r += step_r_;
      c += step_c_;
      if (c >= columns_) c -= columns_, ++r;
    }
  }
  int pack;

 private:
  int rows_, columns_, r_, c_, step_r_, step_c_;
};

/// Begins to copy the 8 channels from c on of pixel (h, w) of a frame to `to`; zeros outside.
template <class T>
KERNELS_INLINE void copy_pack(const Pixels<const T>& from, const T* frame, int h, int w,
                              bool inside, int c, char* to) {
  const T* source = frame + h * from.h + w * from.w + c;
  inside &= c < from.channels;
  if (from.packs) {
    cp_async<pack_bytes>(shared_address(to), inside ? source : frame, inside);
    return;
  }
  Pack<T, 8> pack{};
  if (inside) pack = load_lanes<8>(source, from.owned - c, false);
  store_pack<8>(reinterpret_cast<T*>(to), pack);
}

/// What a warp does.
struct PackWarp {
  KERNELS_INLINE explicit PackWarp(const PackTile& p) {
    const int warp = int(threadIdx.x) / 32, rest = warp / p.packs, phases = p.h.phases * p.w.phases;
    lane = int(threadIdx.x) % 32;
    pack = warp % p.packs;
    phase = rest % phases;
    set = rest / phases;
    phase_h = phase / p.w.phases;
    phase_w = phase % p.w.phases;
  }
  /// Row and column of a run of 8 results: of half `half` of tile m of 16.
  KERNELS_INLINE int row(const PackTile& p, int m, int half) const {
    return p.across == 1 ? set * 8 + 2 * m + half : set * 4 + m;
  }
  KERNELS_INLINE int column(const PackTile& p, int half) const {
    return p.across == 1 ? 0 : half * 8;
  }

  int lane, pack, phase, set, phase_h, phase_w;
};

/// Where lane l's row of ldmatrix lies for tap `tap` of the warp's phase, relative to its pixel.
KERNELS_INLINE int tap_offset(const PackTile& p, const Conv3dGatherAxis& h,
                              const Conv3dGatherAxis& w, int tap) {
  const int b = tap / w.taps, c = tap % w.taps;
  return p.place(h.first + b * h.tap_step - p.h.low, w.first + c * w.tap_step - p.w.low) *
         pack_bytes;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
