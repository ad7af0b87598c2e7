#include "kernels/conv3d/conv3d_grouped_packs.cuh"

// grad_weight on packs. Requires: conv3d_takes_packs(). As forward, but that shared memory holds dy
// beside x, and that a warp's products of a frame are those of each pixel of x, tap by tap, with
// dy of the last frames, which stay in registers: sums over pixels, 8 channels of x of two taps by
// 8 of dy. Sums between groups are dropped. A block goes through several tiles and leaves its sums
// in the workspace, which a second kernel adds up in the order of blocks. x is read once but for
// the halo (once for each pack of a group), dy once.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// What a warp adds up: [tap in time][pair of taps in space].
template <int Time, int Space>
using PackGradients = float[Time][(Space + 1) / 2][4];
/// dy of 64 pixels in each of the last frames.
template <int Time>
using PackFactors = uint32_t[Time][warp_tiles][2];

template <class T, int Time, int Space>
KERNELS_INLINE void correlate(uint32_t pixel, uint32_t step, const int (&offset)[(Space + 1) / 2],
                              int taps, const PackFactors<Time>& dy,
                              PackGradients<Time, Space>& sums) {
#pragma unroll
  for (int m = 0; m < warp_tiles; ++m)
#pragma unroll
    for (int j = 0; j < (Space + 1) / 2; ++j) {
      if (2 * j >= taps) continue;
      uint32_t a[4];
      ldmatrix_trans(a, pixel + uint32_t(m) * step + uint32_t(offset[j]));
#pragma unroll
      for (int k = 0; k < Time; ++k) mma<T>(sums[k][j], a, dy[k][m]);
    }
}

/// The frames of dy move on; the newest is read from `pixel` on, or zeros where there is none.
template <int Time>
KERNELS_INLINE void next_factors(bool there, uint32_t pixel, uint32_t step, PackFactors<Time>& dy) {
#pragma unroll
  for (int k = Time - 1; k > 0; --k)
#pragma unroll
    for (int m = 0; m < warp_tiles; ++m)
#pragma unroll
      for (int r = 0; r < 2; ++r) dy[k][m][r] = dy[k - 1][m][r];
#pragma unroll
  for (int m = 0; m < warp_tiles; m += 2) {
    uint32_t two[4] = {};
    if (there) ldmatrix_trans(two, pixel + uint32_t(m / 2) * step);
#pragma unroll
    for (int r = 0; r < 4; ++r) dy[0][m + r / 2][r % 2] = two[r];
  }
}

/// Adds what a warp has to what lies in shared memory: [pack][tap][k of 8][i of the group, or of
/// 8].
template <int Time, int Space>
KERNELS_INLINE void add_gradients(const PackTile& p, const PackWarp& warp, int taps, int inputs,
                                  const PackGradients<Time, Space>& sums, bool first, float* to) {
#pragma unroll
  for (int a = 0; a < Time; ++a)
#pragma unroll
    for (int i = 0; i < 4 * ((Space + 1) / 2); ++i) {
      const int tap = i / 4 * 2 + i % 4 / 2, c = warp.lane() / 4, k = warp.lane() % 4 * 2 + i % 2;
      if (a >= p.taps_t || tap >= taps || c / inputs != k / inputs) continue;
      float& sum = to[(((warp.pack() * p.taps_t + a) * taps + tap) * 8 + k) * inputs + c % inputs];
      sum = first ? sums[a][i / 4][i % 4] : sum + sums[a][i / 4][i % 4];
    }
}

KERNELS_INLINE void put_gradients(const PackTile& p, const Gradients& to, int taps, int inputs,
                                  const float* from) {
  const int all_taps = p.taps_t * taps, count = p.packs * all_taps * 8 * inputs;
  for (int e = int(threadIdx.x); e < count; e += int(blockDim.x)) {
    const int i = e % inputs, k = e / inputs % 8, tap = e / inputs / 8 % all_taps;
    const int channel = (int(blockIdx.y) * p.packs + e / inputs / 8 / all_taps) * 8 + k;
    if (channel < to.outputs)
      to.put(int(blockIdx.x), channel, tap, int(blockIdx.z) * 8 + i, from[e]);
  }
}

template <class T, int Time, int Space>
__global__ void __launch_bounds__((pack_threads<Time, Space>))
    weight_kernel(PackTile p, Pixels<const T> x, Pixels<const T> dy, int tiles, Gradients to) {
  constexpr int pairs = (Space + 1) / 2;
  char* const memory = dynamic_shared<char>();
  const PackWarp warp(p);
  const int first_pack = int(blockIdx.y) * p.packs;
  const int taps = p.h.first.taps * p.w.first.taps;

  // Matrices of ldmatrix: the pair's taps of 8 pixels, then of the next 8; of dy four times 8.
  const int lane = warp.lane();
  int offset[pairs] = {};
#pragma unroll
  for (int j = 0; j < pairs; ++j)
    if (2 * j < taps) {
      const int tap = 2 * j + lane / 8 % 2;
      offset[j] = tap_offset(p, p.h.first, p.w.first, tap < taps ? tap : taps - 1);
    }
  const int row = warp.row(p, 0, lane / 16), column = warp.column(p, lane / 16) + lane % 8;
  const int own = (warp.pack() * p.pixels + row * p.h.step * p.pitch + column) * pack_bytes;
  const uint32_t step = uint32_t((p.across == 1 ? 2 : 1) * p.h.step * p.pitch * pack_bytes);
  const int dy_at = p.packs * p.pixels * pack_bytes, dy_pixels = p.h.count * p.w.count;
  const int own_dy = (warp.pack() * dy_pixels + warp.row(p, lane / 16, lane / 8 % 2) * p.w.count +
                      warp.column(p, lane / 8 % 2) + lane % 8) *
                     pack_bytes;
  const uint32_t dy_step = uint32_t((p.across == 1 ? 4 : 2) * p.w.count * pack_bytes);

  const bool busy = (first_pack + warp.pack()) * 8 < to.outputs;  // not behind the last pack
  PackGradients<Time, Space> sums = {};
  const int64_t begin = int64_t(tiles) * blockIdx.x / gridDim.x,
                end = int64_t(tiles) * (blockIdx.x + 1) / gridDim.x;
#pragma unroll 1
  for (int64_t tile = begin; tile < end; ++tile) {
    const PackPlace at(p, int(tile));
    // Round i has frame at.t + first_t + i of x and frame at.t + i of dy.
    const int rounds = at.frames + p.taps_t - 1;
    const auto inside = [&](int i) {
      return unsigned(at.t + p.first_t + i) < unsigned(p.sources_t);
    };
    const auto load = [&](int i, int slot) {
      const int pack = p.sources.pack(), all = first_pack + pack;
      char* stage = memory + slot * p.stage_bytes;
      if (i < rounds && inside(i)) {
        const int c = (all - all % p.packs_of_group + int(blockIdx.z)) * 8;
        const T* frame = x.at(at.n, at.t + p.first_t + i, 0, 0);
        char* stage_x = stage + pack * p.pixels * pack_bytes;
        p.sources.each([&](int r, int s) {
          const int h = p.h.source(at.tile_h) + r, w = p.w.source(at.tile_w) + s;
          const bool there =
              unsigned(h) < unsigned(p.h.sources) && unsigned(w) < unsigned(p.w.sources);
          copy_pack(x, frame, h, w, there, c, stage_x + p.place(r, s) * pack_bytes);
        });
      }
      if (i < at.frames) {
        const T* frame = dy.at(at.n, at.t + i, 0, 0);
        char* stage_dy = stage + dy_at + pack * dy_pixels * pack_bytes;
        p.results.each([&](int r, int s) {
          const int h = p.h.result(at.tile_h) + r, w = p.w.result(at.tile_w) + s;
          copy_pack(dy, frame, h, w, h < p.h.results && w < p.w.results, all * 8,
                    stage_dy + (r * p.w.count + s) * pack_bytes);
        });
      }
      cp_async_commit();
    };

    __syncthreads();  // the last tile has been read
#pragma unroll 1
    for (int i = 0; i + 1 < p.stages; ++i) load(i, i);
    PackFactors<Time> factors = {};
    int slot = 0;
#pragma unroll 1
    for (int i = 0; i < rounds; ++i) {
      wait_for_stage(p);
      load(i + p.stages - 1, slot ? slot - 1 : p.stages - 1);
      const uint32_t stage = shared_address(memory + slot * p.stage_bytes);
      next_factors<Time>(i < at.frames, stage + uint32_t(dy_at + own_dy), dy_step, factors);
      if (busy && inside(i))
        correlate<T, Time, Space>(stage + uint32_t(own), step, offset, taps, factors, sums);
      slot = slot + 1 < p.stages ? slot + 1 : 0;
    }
  }

  float* const shared = dynamic_shared<float>();
  const int inputs = to.inputs < 8 ? to.inputs : 8;
  for (int set = 0; set < p.sets; ++set) {
    __syncthreads();
    if (warp.set() == set)
      add_gradients<Time, Space>(p, warp, taps, inputs, sums, set == 0, shared);
  }
  __syncthreads();
  put_gradients(p, to, taps, inputs, shared);
}

void grad_weight_grouped(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x,
                         View dy, View dw, bool accumulate) {
  if (!plan.stages) return grad_weight_direct(stream, plan, o, x, dy, dw, accumulate);
  const PackTile tile({Conv3dPass::grad_weight, o, x.shape, dw.shape, x.dtype}, plan);
  const Workspace workspace(stream, plan.workspace_bytes);
  const int64_t tiles = dy.shape[0] * tile.tiles_t * tile.h.tiles * tile.w.tiles;
  const Gradients to(dw, plan.splits, workspace.data<float>(), accumulate);
  const unsigned packs = unsigned((dw.shape[0] + 7) / 8);
  const auto run = [&]<class T>(T, auto kernel) {
    launch("conv3d.grad_weight", kernel,
           {.grid = dim3(unsigned(plan.splits),
                         (packs + unsigned(tile.packs) - 1) / unsigned(tile.packs),
                         unsigned(tile.packs_of_group)),
            .block = unsigned(plan.threads),
            .shared_bytes = plan.shared_bytes},
           stream, tile, Pixels<const T>(x), Pixels<const T>(dy), int(tiles), to);
  };
  const Conv3dPackTaps taps = conv3d_pack_taps(dw.shape);
  dispatch_activation("conv3d", x.dtype, [&]<class T>(T t) {
    if constexpr (sizeof(T) == 2) {
      if (taps.time == 1) return run(t, weight_kernel<T, 1, 9>);
      if (taps.space == 9) return run(t, weight_kernel<T, 3, 9>);
      if (taps.time == 3) return run(t, weight_kernel<T, 3, 1>);
      run(t, weight_kernel<T, 5, 1>);
    }
  });
  add_parts(stream, workspace.data<float>(), plan.splits, dw, accumulate);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
