#include "kernels/conv3d/conv3d_grouped_packs.cuh"

// Forward and grad_input on packs. Requires: conv3d_takes_packs(). A block goes through time: of
// each frame of sources shared memory holds the block's rectangle with its halo, one frame in each
// stage of a ring that cp.async fills. A warp reads every pixel of it once a tap in space and
// multiplies it by the weights of all taps in time, each for another frame of sums; a frame's sums
// leave when its last tap is done. Results go through shared memory, so that they are stored as
// runs of packs. x is read once but for the halo, y written once.
// An infinity or NaN in x reaches the sums of all 8 channels of its pack: it meets zeros there.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// The weights of one pack of results and one of sources, as fragments of mma: register r of pair j
/// holds tap 2 * j + r.
template <int Time, int Space>
using PackWeights = uint32_t[Time][(Space + 1) / 2][2];

/// The weight from source channel `in` to result channel `out`; 0 between groups.
template <class T>
KERNELS_INLINE T weight_between(const Filter<const T>& f, int out, int in, int64_t tap) {
  const int k = f.back ? in : out, c = f.back ? out : in;
  if (k >= f.channels || c >= f.channels || k / f.inputs != c / f.inputs) return from_float<T>(0);
  return f.base[k * f.k + tap + c % f.inputs];
}

template <class T, int Time, int Space>
KERNELS_INLINE void make_weights(const PackTile& p, const PackWarp& warp, const Filter<const T>& f,
                                 int out_pack, int in_pack, PackWeights<Time, Space>& to) {
  const Conv3dGatherAxis &h = p.h.phase(warp.phase_h()), &w = p.w.phase(warp.phase_w());
  const int out = out_pack * 8 + warp.lane() / 4, in = in_pack * 8 + warp.lane() % 4 * 2;
#pragma unroll
  for (int a = 0; a < Time; ++a)
#pragma unroll
    for (int i = 0; i < (Space + 1) / 2 * 2; ++i) {
      uint32_t both = 0;
      if (i < Space && a < p.taps_t && i < h.taps * w.taps) {
        const int b = i / w.taps, c = i % w.taps;
        const int64_t tap = (p.flip ? p.taps_t - 1 - a : a) * f.t +
                            (h.filter_first + b * h.filter_step) * f.h +
                            (w.filter_first + c * w.filter_step) * f.w;
        both = uint32_t(weight_between(f, out, in, tap).bits) |
               uint32_t(weight_between(f, out, in + 1, tap).bits) << 16;
      }
      to[a][i / 2][i % 2] = both;
    }
}

/// Where the weights of a warp lie in shared memory, if a group has several packs.
template <int Time, int Space>
KERNELS_INLINE uint32_t* weights_of(const PackTile& p, const PackWarp& warp, char* memory, int in) {
  const int phases = p.h.phases * p.w.phases;
  const int which =
      (warp.pack() * p.packs_of_group + in) * phases + warp.phase_h() * p.w.phases + warp.phase_w();
  return reinterpret_cast<uint32_t*>(memory + p.weights_at) +
         which * Time * ((Space + 1) / 2) * 64 + warp.lane() * 2;
}
template <class T, int Time, int Space>
KERNELS_INLINE void share_weights(const PackTile& p, const PackWarp& warp, const Filter<const T>& f,
                                  int first_pack, char* memory) {
  constexpr int pairs = (Space + 1) / 2;
  if (warp.set()) return;
  for (int in = 0; in < p.packs_of_group; ++in) {
    PackWeights<Time, Space> b;
    const int group = first_pack + warp.pack() - warp.pack() % p.packs_of_group;
    make_weights<T, Time, Space>(p, warp, f, first_pack + warp.pack(), group + in, b);
    uint32_t* to = weights_of<Time, Space>(p, warp, memory, in);
#pragma unroll
    for (int a = 0; a < Time; ++a)
#pragma unroll
      for (int j = 0; j < pairs; ++j)
        store_pack<2>(to + (a * pairs + j) * 64, Pack<uint32_t, 2>{b[a][j][0], b[a][j][1]});
  }
}

template <int Time>
using PackSums = float[Time][warp_tiles][4];

/// sums += the products of one frame and pack of sources: `pixel` is where those of this lane's
/// first result lie.
template <class T, int Time, int Space>
KERNELS_INLINE void multiply(uint32_t pixel, uint32_t step, const int (&offset)[(Space + 1) / 2],
                             int taps, const PackWeights<Time, Space>& b, PackSums<Time>& sums) {
#pragma unroll
  for (int m = 0; m < warp_tiles; ++m)
#pragma unroll
    for (int j = 0; j < (Space + 1) / 2; ++j) {
      if (2 * j >= taps) continue;
      uint32_t a[4];
      ldmatrix(a, pixel + uint32_t(m) * step + uint32_t(offset[j]));
#pragma unroll
      for (int k = 0; k < Time; ++k) mma<T>(sums[k][m], a, b[k][j]);
    }
}

/// What is left to do when sums have become results in shared memory: neighbouring threads store
/// neighbouring packs.
template <class T>
KERNELS_INLINE void store_results(const PackTile& p, const PackPlace& at, const Pixels<T>& to,
                                  int t, int first_pack, const char* results) {
  const int pack = int(threadIdx.x) % p.packs, lanes = int(blockDim.x) / p.packs;
  const int c = (first_pack + pack) * 8, h = p.h.result(at.tile_h), w = p.w.result(at.tile_w);
  if (c >= to.channels) return;
#pragma unroll 1
  for (int pixel = int(threadIdx.x) / p.packs; pixel < p.result_pixels; pixel += lanes) {
    const int r = pixel >> p.result_shift, column = pixel & ((1 << p.result_shift) - 1);
    if (h + r >= p.h.results || w + column >= p.w.results) continue;
    const char* from = results + (pixel * (p.packs | 1) + pack) * pack_bytes;
    store_channels<8>(to, to.at(at.n, t, h + r, w + column), c,
                      load_pack<8>(reinterpret_cast<const T*>(from)));
  }
}

/// A frame's sums become results. They move up as they do: if the loop were unrolled instead, the
/// epilogue would be there eight times.
template <class T>
KERNELS_INLINE void finish_frame(const PackTile& p, const PackPlace& at, const PackWarp& warp,
                                 const Epilogue<T>& e, int t, int first_pack,
                                 float (&sums)[warp_tiles][4], char* results, Tally<2>& tally) {
  const int channel = warp.lane() % 4 * 2, c = (first_pack + warp.pack()) * 8 + channel;
#pragma unroll 1
  for (int run = 0; run < 2 * warp_tiles; ++run) {
    const float pair[2] = {sums[0][0], sums[0][1]};
#pragma unroll
    for (int i = 0; i + 2 < 4 * warp_tiles; ++i)
      sums[i / 4][i % 4] = sums[(i + 2) / 4][(i + 2) % 4];
    const int r = warp.row(p, run / 2, run % 2) * p.h.result_step + warp.phase_h();
    const int column =
        (warp.column(p, run % 2) + warp.lane() / 4) * p.w.result_step + warp.phase_w();
    const int pixel[4] = {at.n, t, p.h.result(at.tile_h) + r, p.w.result(at.tile_w) + column};
    if (pixel[2] >= p.h.results || pixel[3] >= p.w.results) continue;
    const int place = ((r << p.result_shift) + column) * (p.packs | 1) + warp.pack();
    store_pack<2>(reinterpret_cast<T*>(results + place * pack_bytes) + channel,
                  e.template finish<2>(pair, pixel, c, tally));
  }
}

/// Adds up what the threads of a block have seen, and writes it.
template <class T>
KERNELS_INLINE void put_tally(const PackTile& p, const PackWarp& warp, const Epilogue<T>& e,
                              const Tally<2>& tally, int first_pack, Moments* all) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    Moments mine = e.moments(tally, i);
#pragma unroll
    for (int other = 4; other < 32; other *= 2)
      mine.merge({__shfl_xor_sync(all_lanes, mine.count, other),
                  __shfl_xor_sync(all_lanes, mine.first, other),
                  __shfl_xor_sync(all_lanes, mine.second, other)},
                 e.sums());
    if (warp.lane() < 4) all[threadIdx.x / 32 * 8 + warp.lane() % 4 * 2 + i] = mine;
  }
  __syncthreads();
  const int pack = int(threadIdx.x) / 8, warps = int(blockDim.x) / 32;
  if (pack >= p.packs) return;
  Moments sum = all[threadIdx.x];
  for (int w = pack + p.packs; w < warps; w += p.packs)
    sum.merge(all[w * 8 + int(threadIdx.x) % 8], e.sums());
  e.put(blockIdx.x, first_pack * 8 + int(threadIdx.x), sum);
}

template <class T, int Time, int Space>
__global__ void __launch_bounds__((pack_threads<Time, Space>))
    packs_kernel(PackTile p, Pixels<const T> from, Filter<const T> f, Epilogue<T> e) {
  constexpr int pairs = (Space + 1) / 2;
  char* const memory = dynamic_shared<char>();
  const PackWarp warp(p);
  const PackPlace at(p, int(blockIdx.x));
  const int first_pack = int(blockIdx.y) * p.packs;
  const Conv3dGatherAxis &h = p.h.phase(warp.phase_h()), &w = p.w.phase(warp.phase_w());
  const int taps = h.taps * w.taps;

  // Of lanes 0-15 the first tap of a pair, of lanes 16-31 the second; the last alone twice, once
  // with weights of 0.
  int offset[pairs] = {};
#pragma unroll
  for (int j = 0; j < pairs; ++j)
    if (2 * j < taps) {
      const int tap = 2 * j + warp.lane() / 16;
      offset[j] = tap_offset(p, h, w, tap < taps ? tap : taps - 1);
    }
  const int half = warp.lane() / 8 % 2;
  const int own =
      warp.row(p, 0, half) * p.h.step * p.pitch + warp.column(p, half) + warp.lane() % 8;
  const uint32_t step = uint32_t((p.across == 1 ? 2 : 1) * p.h.step * p.pitch * pack_bytes);
  // Frame i of the block's sources is at.t + first_t + i; tap k of it goes to result i - k.
  const int needed = at.frames + p.taps_t - 1;
  const auto inside = [&](int i) {
    return i < needed && unsigned(at.t + p.first_t + i) < unsigned(p.sources_t);
  };
  const auto load = [&](int i, int slot) {
    if (inside(i)) {
      const T* frame = from.at(at.n, at.t + p.first_t + i, 0, 0);
      const int pack = p.sources.pack(), c = (first_pack + pack) * 8;
      char* to = memory + slot * p.stage_bytes + pack * p.pixels * pack_bytes;
      p.sources.each([&](int row, int column) {
        const int y = p.h.source(at.tile_h) + row, x = p.w.source(at.tile_w) + column;
        const bool there =
            unsigned(y) < unsigned(p.h.sources) && unsigned(x) < unsigned(p.w.sources);
        copy_pack(from, frame, y, x, there, c, to + p.place(row, column) * pack_bytes);
      });
    }
    cp_async_commit();
  };
  const auto result_frame = [&](int i) { return memory + p.results_at + (i & 1) * p.result_bytes; };

#pragma unroll 1
  for (int i = 0; i + 1 < p.stages; ++i) load(i, i);
  PackWeights<Time, Space> b;
  if (p.packs_of_group == 1)
    make_weights<T, Time, Space>(p, warp, f, first_pack + warp.pack(), first_pack + warp.pack(), b);
  else
    share_weights<T, Time, Space>(p, warp, f, first_pack, memory);
  PackSums<Time> sums = {};
  Tally<2> tally;
  const bool busy = (first_pack + warp.pack()) * 8 < e.to.channels;  // not behind the last pack
  int slot = 0;
#pragma unroll 1
  for (int i = 0; i < at.frames + Time - 1; ++i) {
    wait_for_stage(p);
    load(i + p.stages - 1, slot ? slot - 1 : p.stages - 1);
    const int before = i - Time;  // the result that the last round has finished
    if (before >= 0) store_results(p, at, e.to, at.t + before, first_pack, result_frame(before));
#pragma unroll 1
    for (int in = 0; busy && inside(i) && in < p.packs_of_group; ++in) {
      if (p.packs_of_group > 1) {
        const uint32_t* shared = weights_of<Time, Space>(p, warp, memory, in);
#pragma unroll
        for (int k = 0; k < Time * pairs; ++k) {
          const Pack<uint32_t, 2> pair = load_pack<2>(shared + k * 64);
          b[k / pairs][k % pairs][0] = pair.lane[0];
          b[k / pairs][k % pairs][1] = k % pairs * 2 + 1 < Space ? pair.lane[1] : 0;
        }
      }
      const int pack = warp.pack() - warp.pack() % p.packs_of_group + in;
      multiply<T, Time, Space>(
          shared_address(memory + slot * p.stage_bytes + (pack * p.pixels + own) * pack_bytes),
          step, offset, taps, b, sums);
    }
    if (i + 1 >= Time)
      finish_frame(p, at, warp, e, at.t + i - (Time - 1), first_pack, sums[Time - 1],
                   result_frame(i - (Time - 1)), tally);
#pragma unroll
    for (int m = 0; m < warp_tiles; ++m)
#pragma unroll
      for (int q = 0; q < 4; ++q) {
#pragma unroll
        for (int k = Time - 1; k > 0; --k) sums[k][m][q] = sums[k - 1][m][q];
        sums[0][m][q] = 0;
      }
    slot = slot + 1 < p.stages ? slot + 1 : 0;
  }
  __syncthreads();
  store_results(p, at, e.to, at.t + at.frames - 1, first_pack, result_frame(at.frames - 1));
  if (e.statistics) put_tally(p, warp, e, tally, first_pack, reinterpret_cast<Moments*>(memory));
}

namespace {

void packs(const char* name, Stream stream, const Conv3dPlan& plan, const Conv3dProblem& problem,
           const View& from, const View& w, const View& to, const auto& epilogue) {
  const bool back = problem.pass == Conv3dPass::grad_input;
  const PackTile tile(problem, plan);
  const int64_t packs = (to.shape[4] + 7) / 8;
  const auto run = [&]<class T>(T, auto kernel) {
    launch(
        name, kernel,
        {.grid = dim3(unsigned(plan.pixel_tiles), unsigned((packs + tile.packs - 1) / tile.packs)),
         .block = unsigned(plan.threads),
         .shared_bytes = plan.shared_bytes},
        stream, tile, Pixels<const T>(from), Filter<const T>(w, problem.options, back),
        Epilogue<T>(to, epilogue));
  };
  const Conv3dPackTaps taps = conv3d_pack_taps(w.shape);
  dispatch_activation("conv3d", from.dtype, [&]<class T>(T t) {
    if constexpr (sizeof(T) == 2) {
      if (taps.time == 1) return run(t, packs_kernel<T, 1, 9>);
      if (taps.space == 9) return run(t, packs_kernel<T, 3, 9>);
      if (taps.time == 3) return run(t, packs_kernel<T, 3, 1>);
      run(t, packs_kernel<T, 5, 1>);
    }
  });
}

}  // namespace

void forward_grouped(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x, View w,
                     View y, const Conv3dEpilogue& e) {
  if (!plan.stages) return forward_direct(stream, plan, o, x, w, y, e);
  packs("conv3d.forward", stream, plan, {Conv3dPass::forward, o, x.shape, w.shape, x.dtype}, x, w,
        y, e);
}
void grad_input_grouped(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View dy,
                        View w, View dx, const Conv3dGradEpilogue& e) {
  if (!plan.stages) return grad_input_direct(stream, plan, o, dy, w, dx, e);
  packs("conv3d.grad_input", stream, plan, {Conv3dPass::grad_input, o, dx.shape, w.shape, dy.dtype},
        dy, w, dx, e);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
