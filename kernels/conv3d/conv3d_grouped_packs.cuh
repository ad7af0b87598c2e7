#pragma once
#include "kernels/conv3d/conv3d_grouped.cuh"
#include "kernels/device/async_copy.h"
#include "kernels/device/mma.h"

// What the kernels on packs of 8 channels share: conv3d_grouped_plan.h says what they take.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

constexpr int pack_bytes = 16, warp_tiles = conv3d_pack_pixels / 16;

/// Of a block, at most.
template <int Time, int Space>
inline constexpr int pack_threads = conv3d_pack_warps({Time, Space}) * 32;

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

/// The pixels of a rectangle that a thread moves, of one pack, the same in each frame. Neighbouring
/// threads move neighbouring packs, then neighbouring pixels.
struct PackShare {
  PackShare() = default;
  PackShare(int packs_, int threads, int rows_, int columns_)
      : packs(packs_),
        rows(rows_),
        columns(columns_),
        step_r(threads / packs / columns),
        step_c(threads / packs % columns) {}
  KERNELS_INLINE int pack() const { return int(threadIdx.x) % packs; }
  template <class F>
  KERNELS_INLINE void each(F f) const {
    const int first = int(threadIdx.x) / packs;
#pragma unroll 1
    for (int r = first / columns, c = first % columns; r < rows;) {
      f(r, c);
      r += step_r;
      c += step_c;
      if (c >= columns) c -= columns, ++r;
    }
  }

  int packs = 1, rows = 0, columns = 1, step_r = 0, step_c = 0;
};

/// A block's work and memory.
struct PackTile {
  PackTile(const Conv3dProblem&, const Conv3dPlan&);

  /// Of column c of the sources: those that a stride takes in turn lie together.
  KERNELS_INLINE int place(int row, int c) const {
    return row * pitch + (w.step == 2 ? (c & 1) * plane + (c >> 1) : c);
  }

  PackAxis h, w;
  PackShare sources, results;
  int results_t, sources_t, first_t, taps_t;  ///< result t reads sources from t + first_t on
  bool flip;                                  ///< the last tap comes first
  int frames, tiles_t;                        ///< results of a block along time; blocks
  int packs, packs_of_group, across, sets, stages;
  int plane, pitch, pixels;  ///< of a pack's sources in shared memory
  int stage_bytes, result_bytes, weights_at, results_at;
  int result_pixels,
      result_shift;  ///< of a block and frame; a row of the block's results has 2 to this
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
  sources = PackShare(packs, plan.threads, h.extent, w.extent);
  results = PackShare(packs, plan.threads, h.count, w.count);
  stage_bytes = int(memory.stage);
  results_at = stage_bytes * stages;
  result_bytes = int(memory.results / 2);
  weights_at = int(results_at + memory.results);
  result_pixels = int(box.result_pixels());
  result_shift = 3;
  while (1 << result_shift < w.count * w.result_step) ++result_shift;
}

/// The tile of a block, or of a round of one: clip, first frame of results and how many, rectangle.
struct PackPlace {
  KERNELS_INLINE PackPlace(const PackTile& p, int tile) {
    const int rest = tile / p.w.tiles, above = rest / p.h.tiles;
    tile_w = tile % p.w.tiles;
    tile_h = rest % p.h.tiles;
    n = above / p.tiles_t;
    t = above % p.tiles_t * p.frames;
    frames = p.results_t - t < p.frames ? p.results_t - t : p.frames;
  }
  int n, t, frames, tile_h, tile_w;
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

/// Waits for the oldest stage that is under way.
KERNELS_INLINE void wait_for_stage(const PackTile& p) {
  if (p.stages == 2)
    cp_async_wait<0>();
  else if (p.stages == 3)
    cp_async_wait<1>();
  else
    cp_async_wait<2>();
  __syncthreads();
}

/// What a warp does. In one word: taking it apart is cheap, registers are not.
class PackWarp {
 public:
  KERNELS_INLINE explicit PackWarp(const PackTile& p) {
    const int warp = int(threadIdx.x) / 32, rest = warp / p.packs, phases = p.h.phases * p.w.phases;
    const int phase = rest % phases;
    word_ = warp % p.packs | (phase % p.w.phases) << 8 | (phase / p.w.phases) << 9 |
            (rest / phases) << 10;
  }
  KERNELS_INLINE int lane() const { return int(threadIdx.x) % 32; }
  KERNELS_INLINE int pack() const { return word_ & 255; }
  KERNELS_INLINE int phase_w() const { return word_ >> 8 & 1; }
  KERNELS_INLINE int phase_h() const { return word_ >> 9 & 1; }
  KERNELS_INLINE int set() const { return word_ >> 10; }
  /// Row and column of a run of 8 results: of half `half` of tile m of 16.
  KERNELS_INLINE int row(const PackTile& p, int m, int half) const {
    return p.across == 1 ? set() * 8 + 2 * m + half : set() * 4 + m;
  }
  KERNELS_INLINE int column(const PackTile& p, int half) const {
    return p.across == 1 ? 0 : half * 8;
  }

 private:
  int word_;
};

/// Where lane l's row of ldmatrix lies for tap `tap` of the warp's phase, relative to its pixel.
KERNELS_INLINE int tap_offset(const PackTile& p, const Conv3dGatherAxis& h,
                              const Conv3dGatherAxis& w, int tap) {
  const int b = tap / w.taps, c = tap % w.taps;
  return p.place(h.first + b * h.tap_step - p.h.low, w.first + c * w.tap_step - p.w.low) *
         pack_bytes;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
