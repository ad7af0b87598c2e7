#pragma once
#include "kernels/conv3d/conv3d_gemm.cuh"
#include "kernels/device/launch.h"

// The host's side of the implicit product.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// What both passes have in common; `source` is x or dy, `result` y or dx.
inline GemmProblem gemm_problem(const Conv3dPlan& plan, const Conv3dOptions& o, const View& source,
                                const View& w, const View& result) {
  const int64_t size = size_of(w.dtype);
  GemmProblem p;
  p.source = static_cast<const char*>(source.data);
  p.weights = static_cast<const char*>(w.data);
  for (int i = 0; i < 4; ++i) p.source_stride[i] = source.stride(i) * size;
  for (int i = 0; i < 3; ++i) p.filter_stride[i] = p.tap_stride[i] = w.stride(i + 1) * size;
  p.weight_pitch = w.stride(0) * size;
  p.clips = result.shape[0];
  p.groups = int(o.groups);
  p.depth = int(source.shape[4] / o.groups);
  p.columns = int(result.shape[4] / o.groups);
  p.column_tiles = unsigned((p.columns + plan.columns - 1) / plan.columns);
  p.stages = plan.stages;
  p.splits = plan.splits;
  p.aligned = aligned(source) && aligned(w) && (o.groups == 1 || p.depth * size % 16 == 0);
  return p;
}

inline GemmProblem forward_problem(const Conv3dPlan& plan, const Conv3dOptions& o, const View& x,
                                   const View& w, const View& y) {
  GemmProblem p = gemm_problem(plan, o, x, w, y);
  const Conv3dGather gather = conv3d_forward_gather(o, x.shape, w.shape, y.shape);
  for (int i = 0; i < 3; ++i) p.axis[i] = gather.axis[i];
  return p;
}

inline GemmProblem grad_input_problem(const Conv3dPlan& plan, const Conv3dOptions& o,
                                      const View& dy, const View& w, const View& dx) {
  GemmProblem p = gemm_problem(plan, o, dy, w, dx);
  for (int i = 0; i < 3; ++i) {
    p.phased[i] = conv3d_phased_axis(o, dx.shape, w.shape, dy.shape, i);
    p.phases[i] = conv3d_phases(o, dx.shape, i);
    p.axis[i] = p.phased[i].phase(0);
    p.tap_stride[i] *= p.axis[i].filter_step;
  }
  return p;
}

inline Geometry gemm_geometry(const Conv3dPlan& plan) {
  return {.grid = dim3(unsigned(plan.tiles), 1, unsigned(plan.splits)),
          .block = unsigned(plan.threads),
          .shared_bytes = plan.shared_bytes};
}

/// Adds up what the splits of a pass have left, and finishes each tile.
template <class Finish>
__global__ void __launch_bounds__(ResultTile::threads, 5)
    finish_kernel(const __grid_constant__ GemmProblem p, int columns, SplitSums split,
                  Finish finish) {
  const GemmBlock block = gemm_block<Finish::phased>(p, columns, blockIdx.x);
  ResultTile tile(SharedTiles().memory, columns);
  split.load(tile.sums, blockIdx.x);
  describe<Finish::phased>(p, block, tile);
  __syncthreads();
  finish(tile);
}

/// Launches `kernel`, and what adds up its splits.
template <class Finish>
void launch_gemm(Stream stream, const char* name, const Conv3dPlan& plan, const GemmProblem& p,
                 void (*kernel)(GemmProblem, SplitSums, Finish), const Finish& finish) {
  if (plan.splits == 1)
    return launch(name, kernel, gemm_geometry(plan), stream, p, SplitSums(), finish);
  const Workspace memory(stream, plan.workspace_bytes);
  const SplitSums split{memory.data<float>(), plan.tiles, plan.splits};
  launch(name, kernel, gemm_geometry(plan), stream, p, split, finish);
  launch("conv3d.finish", finish_kernel<Finish>,
         {.grid = dim3(unsigned(plan.tiles)),
          .block = ResultTile::threads,
          .shared_bytes = ResultTile::bytes(plan.columns) + 1024},
         stream, p, plan.columns, split, finish);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
